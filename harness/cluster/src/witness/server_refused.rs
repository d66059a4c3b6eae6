//! `server-certificate-refused`: a 503 is what comes of a server's certificate that the gateway does not take (R18).
//!
//! The server itself tells: it speaks TLS, writes down each connection, what came of its handshake, and each request. Within
//! the time in which the claim held there has to be, for each answer, a new connection from one of the gateway's proxies that
//! got as far as a handshake; and no request may have come over any. A gateway that answers by itself opens none.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use kube::Client;
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::program::{self, BeginsWith, Line, Written};
use super::{LOG_DELAY, backend, nothing_to_see, testimony};
use meshproof_model::event::Testimony;
use meshproof_model::implementation::Proxies;
use meshproof_run::ports::{PortError, WitnessContext};

pub(super) const NAME: &str = "server-certificate-refused";

/// From one look at the logs to the next, while handshakes are missing in them.
const LOOK: Duration = Duration::from_millis(250);

/// A node's clock may be so far from the one here. Nobody else asks these servers.
const CLOCKS: i64 = 100;

/// What the servers behind the Service tell of the time in which the claim held.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    /// Connections of the gateway that began with TLS, by what came of the handshake.
    refused: usize,
    done: usize,
    under_way: usize,
    /// A request that came.
    request: Option<String>,
    /// Connections of anybody else.
    others: usize,
}

pub(super) async fn hear(
    client: &Client,
    proxies: &Proxies,
    context: &WitnessContext,
) -> Result<Testimony, PortError> {
    let Some((from, to)) = context.window else {
        return Ok(nothing_to_see(NAME, "it is not known when the claim held"));
    };
    let window = (from.as_millisecond() - CLOCKS, to.as_millisecond() + CLOCKS);
    let proxies = backend::proxies(client, proxies, context).await?;
    let pods = backend::pods(client, context.namespace_of_backend(), &context.backend).await?;
    let answers: Vec<_> = context.answers.iter().map(|answer| answer.status).collect();
    let deadline = Instant::now() + LOG_DELAY;
    let mut pace = interval(LOOK);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        let (mut told, mut complete) = (Told::default(), !pods.is_empty());
        for pod in &pods {
            let written = program::written(client, pod).await?;
            let port = pod.address.port();
            let on_port = |written: &&Written| written.lines.iter().any(|line| port_of(line) == Some(port));
            // Without one that tells of the port no connection has come to it yet.
            if let Some(written) = written.iter().find(on_port) {
                complete &= written.reaches_back_to(u64::try_from(window.0).unwrap_or_default());
                told.add(written, window, port, &proxies);
            }
        }
        if told.enough(answers.len()) || Instant::now() >= deadline {
            return Ok(judge(&told, complete, &answers));
        }
    }
}

fn port_of(line: &Line) -> Option<u16> {
    line.connection.as_ref().map(|connection| connection.port)
}

impl Told {
    fn add(&mut self, written: &Written, window: (i64, i64), port: u16, proxies: &BTreeSet<IpAddr>) {
        let within =
            |line: &&Line| i64::try_from(line.time_ms).is_ok_and(|at| (window.0..=window.1).contains(&at));
        let came_of_it = |peer: SocketAddr| {
            let mut handshakes = written.lines.iter().filter_map(|line| line.handshake.as_ref());
            handshakes.rfind(|handshake| handshake.peer == Some(peer))
        };
        for line in written.lines.iter().filter(within) {
            if let Some(connection) = line.connection.as_ref().filter(|connection| connection.port == port) {
                if !proxies.contains(&connection.peer.ip()) || connection.begins_with != BeginsWith::Tls {
                    self.others += 1;
                    continue;
                }
                match came_of_it(connection.peer) {
                    None => self.under_way += 1,
                    Some(handshake) if handshake.failed.is_some() => self.refused += 1,
                    Some(_) => self.done += 1,
                }
            } else if let Some(path) = &line.path {
                self.request.get_or_insert_with(|| path.clone());
            }
        }
    }

    /// Whether all that there is to see is there.
    fn enough(&self, answers: usize) -> bool {
        self.under_way == 0 && self.refused + self.done >= answers
    }
}

fn judge(told: &Told, complete: bool, answers: &[Option<u16>]) -> Testimony {
    let wanted = answers.len();
    if answers.is_empty() || answers.iter().any(|status| *status != Some(503)) {
        return nothing_to_see(NAME, "there is no row of answers 503 that could be looked into");
    }
    if !complete {
        return nothing_to_see(
            NAME,
            "there is no server behind the Service whose log reaches back to the claim",
        );
    }
    let detail = json!({
        "answers": wanted, "refused": told.refused, "done": told.done, "under_way": told.under_way,
        "of_others": told.others,
    });
    if let Some(path) = &told.request {
        let summary = format!("the request {path} came to the server, whose certificate was to be refused");
        return testimony(NAME, false, summary, detail);
    }
    let tried = told.refused + told.done;
    if tried < wanted {
        let summary = format!(
            "the gateway answered 503 {wanted} times and got as far as the server's certificate {tried} times only"
        );
        return testimony(NAME, false, summary, detail);
    }
    let summary = "for every 503 the gateway opened a connection to the server, saw its certificate and sent no request";
    testimony(NAME, true, summary, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = r#"{"connection":{"alpn":[],"begins_with":"tls","peer":"10.244.0.5:41","port":8443},"line":1,"time_ms":1000}
{"handshake":{"failed":"received fatal alert: CertificateExpired","peer":"10.244.0.5:41","port":8443},"line":2,"time_ms":1002}
{"connection":{"alpn":[],"begins_with":"tls","peer":"10.244.0.5:42","port":8443},"line":3,"time_ms":1050}
{"handshake":{"failed":"received fatal alert: CertificateExpired","peer":"10.244.0.5:42","port":8443},"line":4,"time_ms":1052}
"#;

    fn told(log: &str) -> Told {
        let mut told = Told::default();
        told.add(&Written::parse(log), (990, 1100), 8443, &["10.244.0.5".parse().unwrap()].into());
        told
    }

    fn held(log: &str, answers: usize) -> (bool, String) {
        let testimony = judge(&told(log), true, &vec![Some(503); answers]);
        (testimony.held, testimony.summary)
    }

    #[test]
    fn a_handshake_broken_off_for_every_answer() {
        assert!(held(LOG, 2).0);
        assert!(told(LOG).enough(2) && !told(LOG).enough(3));
        let (held, why) = held(LOG, 3);
        assert!(!held && why.contains("3 times and got as far as the server's certificate 2 times"), "{why}");
    }

    #[test]
    fn a_handshake_that_is_done_counts_while_no_request_comes() {
        let done = LOG
            .replace(r#""failed":"received fatal alert: CertificateExpired""#, r#""client_certificates":[]"#);
        assert!(held(&done, 2).0);
        let asked = format!(
            "{done}{}\n",
            r#"{"line":5,"method":"GET","path":"/orders","peer":"10.244.0.5:42","request":null,"time_ms":1060}"#
        );
        let (held, why) = held(&asked, 2);
        assert!(!held && why.contains("/orders"), "{why}");
    }

    #[test]
    fn connections_of_others_of_before_and_under_way_do_not_count() {
        assert!(!held(&LOG.replace("10.244.0.5", "10.244.0.9"), 1).0);
        assert!(!held(&LOG.replace("\"time_ms\":10", "\"time_ms\":9"), 1).0);
        let under_way = LOG.lines().take(1).collect::<String>();
        assert!(!held(&under_way, 1).0 && !told(&under_way).enough(1));
    }

    #[test]
    fn only_a_row_of_503_and_a_whole_log_can_be_looked_into() {
        assert!(!judge(&told(LOG), true, &[Some(503), Some(200)]).held);
        assert!(!judge(&told(LOG), true, &[]).held);
        assert!(!judge(&told(LOG), false, &[Some(503)]).held);
    }
}
