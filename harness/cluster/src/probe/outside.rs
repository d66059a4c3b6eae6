//! The vantage outside the cluster: this host.

use std::{
    collections::BTreeMap,
    error::Error as _,
    io,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::direct::{self, joined};
use super::{ProbeError, route};
use meshproof_model::vantage::Vantage;
use meshproof_run::probe::{Answer, Ask, Connection, Echo, Exchange, Failure, FailureKind, Http, MAX_BODY};

/// One client for each name and address, as reqwest ties a name to an address per client, and for each way of treating
/// connections: making one costs as much as many requests.
type ClientKey = (String, Option<SocketAddr>, Connection, Http);

/// Sends requests from this host.
#[derive(Debug, Default)]
pub struct Outside {
    local_only: bool,
    clients: Mutex<BTreeMap<ClientKey, reqwest::Client>>,
}

impl Outside {
    /// `local_only` refuses addresses that only the default route reaches.
    pub fn new(local_only: bool) -> Self {
        Self { local_only, clients: Mutex::default() }
    }

    /// Sends one request.
    ///
    /// # Errors
    /// When the URL cannot be requested, or the address is not this host's to reach.
    pub async fn send(&self, ask: &Ask) -> Result<Answer, ProbeError> {
        if ask.tls.is_some() || ask.exchange != Exchange::Http {
            return direct::send(ask, self.local_only).await;
        }
        let bad = |reason: String| ProbeError::Url { url: ask.url.clone(), reason };
        let mut url = reqwest::Url::parse(&ask.url).map_err(|error| bad(error.to_string()))?;
        let host = url.host_str().ok_or_else(|| bad("it names no host".into()))?.to_string();
        let method = reqwest::Method::from_bytes(ask.method.as_bytes())
            .map_err(|error| bad(format!("method: {error}")))?;
        let target = ask.connect_to.or_else(|| {
            let ip = host.trim_matches(['[', ']']).parse().ok()?;
            Some(SocketAddr::new(ip, url.port_or_known_default()?))
        });
        if let Some(address) = target.filter(|address| self.local_only && !route::is_local(address.ip())) {
            return Err(ProbeError::NotLocal { address });
        }
        let client = self.client(&host, ask)?;
        let authority = url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        if ask.connect_to.is_some_and(|address| Some(address.port()) != url.port()) && ask.http == Http::One {
            // A port in the URL would count for more than that of the address. The Host header keeps it.
            url.set_port(None).map_err(|()| bad("its port cannot be left out".into()))?;
        }
        let mut request = client.request(method, url).timeout(ask.timeout);
        if ask.http == Http::One {
            // First, as every client of note sends it; HTTP/2 has it in a field of its own.
            request = request.header(http::header::HOST, authority);
        }
        for (name, value) in &ask.headers {
            request = request.header(name, value);
        }
        if let Some(body) = &ask.body {
            let said = ask.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
            if !said {
                request = request.header(http::header::CONTENT_TYPE, body.content_type());
            }
            request = request.body(body.bytes());
        }
        let started = Instant::now();
        Ok(exchange(request, started).await)
    }

    fn client(&self, host: &str, ask: &Ask) -> Result<reqwest::Client, ProbeError> {
        let build = || {
            let mut builder = reqwest::Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .http1_title_case_headers();
            if ask.http == Http::Two {
                builder = builder.http2_prior_knowledge();
            }
            if let Some(address) = ask.connect_to {
                builder = builder.resolve(host, address);
            }
            if ask.connection == Connection::Fresh {
                builder = builder.pool_max_idle_per_host(0);
            }
            builder.build().map_err(|error| ProbeError::Url { url: ask.url.clone(), reason: chain(&error) })
        };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (host.to_string(), ask.connect_to, ask.connection, ask.http);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let client = build()?;
        clients.insert(key, client.clone());
        Ok(client)
    }
}

async fn exchange(request: reqwest::RequestBuilder, started: Instant) -> Answer {
    let mut response = match request.send().await {
        Ok(response) => response,
        Err(error) => return failed(&error, started.elapsed()),
    };
    let status = response.status().as_u16();
    let headers = joined(response.headers());
    let peer = response.remote_addr();
    let mut bytes = Vec::new();
    let mut failure = None;
    while bytes.len() < MAX_BODY {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => {
                failure = Some(Failure { kind: classify(&error), message: chain(&error) });
                break;
            }
        }
    }
    bytes.truncate(MAX_BODY);
    let body = String::from_utf8_lossy(&bytes).into_owned();
    let echo = Echo::parse(&body);
    let duration = started.elapsed();
    Answer {
        vantage: Vantage::Outside,
        sent_as: None,
        status: Some(status),
        headers,
        body,
        echo,
        failure,
        duration,
        peer,
        certificate: None,
    }
}

fn failed(error: &reqwest::Error, elapsed: Duration) -> Answer {
    Answer::failed(Vantage::Outside, classify(error), chain(error), elapsed)
}

/// The kind of a failure, from the innermost cause that tells.
fn classify(error: &reqwest::Error) -> FailureKind {
    if error.is_timeout() {
        return FailureKind::Timeout;
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = error.source();
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            match io.kind() {
                io::ErrorKind::ConnectionRefused
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable => return FailureKind::Refused,
                io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof => return FailureKind::Reset,
                io::ErrorKind::TimedOut => return FailureKind::Timeout,
                _ => {}
            }
        }
        let words = inner.to_string();
        if words.contains("dns error") || words.contains("failed to lookup address") {
            return FailureKind::Dns;
        }
        // hyper's words for a connection that closed before the answer was complete.
        if words.contains("connection closed before message completed") || words.contains("IncompleteMessage")
        {
            return FailureKind::Reset;
        }
        cause = inner.source();
    }
    FailureKind::Other
}

/// An error with its causes, each said once.
fn chain(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.contains(&words) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&words);
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    const ECHO: &str = r#"{"path":"/a?b","host":"fe.example","method":"GET","proto":"HTTP/1.1","headers":{"X-Request-Id":["id-1"]},"namespace":"test-infra","ingress":"","service":"","pod":"backend-v1-5d9c7b6f4-x2x7f"}"#;

    /// Serves one answer per connection and returns its address.
    async fn serve(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        address
    }

    fn ok(body: &str) -> &'static str {
        let head = "HTTP/1.1 200 OK\r\nset-cookie: a\r\nset-cookie: b";
        format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).leak()
    }

    #[tokio::test]
    async fn the_name_stays_in_the_host_header_while_the_address_is_given() {
        let address = serve(ok(ECHO)).await;
        let answer =
            Outside::new(true).send(&Ask::get("http://fe.example/a?b").connecting_to(address)).await.unwrap();
        assert_eq!(answer.status, Some(200));
        assert!(answer.is_from("backend-v1"), "{answer:?}");
        assert_eq!(answer.request_id().as_deref(), Some("id-1"));
        assert_eq!(answer.headers.get("set-cookie").map(String::as_str), Some("a, b"));
        assert_eq!(answer.peer, Some(address));
        assert_eq!(answer.failure, None);
    }

    #[tokio::test]
    async fn the_port_of_the_address_counts_and_that_of_the_url_stays_in_the_host_header() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let length = stream.read(&mut head).await.unwrap();
            stream.write_all(ok(ECHO).as_bytes()).await.unwrap();
            String::from_utf8_lossy(&head[..length]).to_lowercase()
        });
        let ask = Ask::get("http://fe.example:8080/").connecting_to(address);
        let answer = Outside::new(true).send(&ask).await.unwrap();
        assert_eq!(answer.status, Some(200), "{answer:?}");
        assert!(asked.await.unwrap().contains("\r\nhost: fe.example:8080\r\n"));
    }

    #[tokio::test]
    async fn nobody_listening_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let answer = Outside::new(true).send(&Ask::straight(address, "/")).await.unwrap();
        assert_eq!(answer.failure.unwrap().kind, FailureKind::Refused);
        assert_eq!(answer.status, None);
    }

    #[tokio::test]
    async fn a_connection_closed_without_an_answer_is_a_reset() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { while listener.accept().await.is_ok() {} });
        let answer = Outside::new(true).send(&Ask::straight(address, "/")).await.unwrap();
        assert_eq!(answer.failure.unwrap().kind, FailureKind::Reset);
    }

    #[tokio::test]
    async fn silence_is_a_timeout() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let ask = Ask::straight(address, "/").within(Duration::from_millis(50));
        let answer = Outside::new(true).send(&ask).await.unwrap();
        assert_eq!(answer.failure.unwrap().kind, FailureKind::Timeout);
    }

    #[tokio::test]
    async fn a_body_cut_short_keeps_its_status_and_says_so() {
        let address = serve("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhalf").await;
        let answer = Outside::new(true).send(&Ask::straight(address, "/")).await.unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (Some(200), "half"));
        assert_eq!(answer.failure.map(|failure| failure.kind), Some(FailureKind::Reset));
    }

    #[tokio::test]
    async fn a_url_without_a_host_is_an_error_of_the_question() {
        assert!(matches!(Outside::new(true).send(&Ask::get("/path")).await, Err(ProbeError::Url { .. })));
    }

    #[tokio::test]
    async fn pooled_requests_share_a_connection_and_fresh_ones_do_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (accepted, mut connections) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut stream, peer)) = listener.accept().await {
                let _ = accepted.send(peer);
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
                    }
                });
            }
        });
        let outside = Outside::new(true);
        for _ in 0..3 {
            outside.send(&Ask::straight(address, "/").pooled()).await.unwrap();
        }
        let mut pooled = 0;
        while connections.try_recv().is_ok() {
            pooled += 1;
        }
        assert_eq!(pooled, 1);
        for _ in 0..2 {
            outside.send(&Ask::straight(address, "/")).await.unwrap();
        }
        let mut fresh = 0;
        while connections.try_recv().is_ok() {
            fresh += 1;
        }
        assert_eq!(fresh, 2);
    }
}
