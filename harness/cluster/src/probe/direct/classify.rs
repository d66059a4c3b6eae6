//! How an exchange broke, told by the innermost cause that knows.

use std::error::Error;
use std::io;
use std::time::Duration;

use super::Seen;
use meshproof_model::vantage::Vantage;
use meshproof_run::probe::{Answer, Failure, FailureKind};

/// An exchange that broke.
#[derive(Debug)]
pub(super) struct Broken {
    kind: FailureKind,
    message: String,
}

impl Broken {
    /// By an error of the network's, of TLS or of HTTP.
    pub(super) fn of(doing: impl Into<String>, error: &(dyn Error + 'static)) -> Self {
        let mut message: String = doing.into();
        let (mut kind, mut cause) = (None, Some(error));
        while let Some(inner) = cause {
            let words = inner.to_string();
            if !message.contains(&words) {
                message += ": ";
                message += &words;
            }
            kind = self::kind(inner).or(kind);
            cause = inner.source();
        }
        Self { kind: kind.unwrap_or(FailureKind::Other), message }
    }

    pub(super) fn dns(message: String) -> Self {
        Self { kind: FailureKind::Dns, message }
    }

    pub(super) fn tls(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Tls, message: message.into() }
    }

    pub(super) fn other(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Other, message: message.into() }
    }

    pub(super) fn reset(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Reset, message: message.into() }
    }

    pub(super) fn timeout(limit: Duration) -> Self {
        Self { kind: FailureKind::Timeout, message: format!("nothing more within {limit:?}") }
    }

    /// The same, in a part of the exchange where only TLS is spoken.
    pub(super) fn in_handshake(mut self) -> Self {
        if self.kind == FailureKind::Other {
            self.kind = FailureKind::Tls;
        }
        self
    }

    /// The answer that is none.
    pub(super) fn answer(self, seen: Seen, duration: Duration) -> Answer {
        let Failure { kind, message } = self.into();
        let answer = Answer::failed(Vantage::Outside, kind, message, duration);
        Answer { peer: seen.peer, certificate: seen.certificate, ..answer }
    }
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        Self { kind: broken.kind, message: broken.message }
    }
}

fn kind(error: &(dyn Error + 'static)) -> Option<FailureKind> {
    if error.is::<rustls::Error>() {
        return Some(FailureKind::Tls);
    }
    if let Some(http) = error.downcast_ref::<hyper::Error>() {
        return (http.is_incomplete_message() || http.is_canceled() || http.is_closed())
            .then_some(FailureKind::Reset);
    }
    let io = error.downcast_ref::<io::Error>()?;
    if io.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
        return Some(FailureKind::Tls);
    }
    match io.kind() {
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => Some(FailureKind::Refused),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => Some(FailureKind::Reset),
        io::ErrorKind::TimedOut => Some(FailureKind::Timeout),
        _ => None,
    }
}
