//! Against real servers on loopback, right ones and wrong ones.

use std::convert::Infallible;
use std::sync::Arc;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use meshproof_run::probe::tls::{ClientCertificate, Tls};
use meshproof_run::probe::{Body, FailureKind, GRPC_HEALTH};

/// An authority of its own.
struct Authority {
    pem: String,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { pem: certificate.pem(), der: certificate.der().clone(), issuer: Issuer::new(params, key) }
    }

    fn issue(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    fn client(&self) -> ClientCertificate {
        let (certificate, key) = self.issue("client.example", ExtendedKeyUsagePurpose::ClientAuth);
        ClientCertificate { chain: certificate.pem(), key: key.serialize_pem() }
    }

    /// What a client believes that knows nobody else.
    fn believed(&self) -> Tls {
        Tls { authorities: Some(self.pem.clone()), ..Tls::default() }
    }
}

type Reply = Response<BoxBody<Bytes, Infallible>>;

fn reply(body: &'static str) -> Reply {
    Response::new(Full::new(Bytes::from(body)).boxed())
}

/// Answers each request as `answer` says.
async fn serve(stream: impl Stream + 'static, answer: fn(&http::request::Parts, &Bytes) -> Reply) {
    let service = service_fn(move |request: Request<Incoming>| async move {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        Ok::<_, Infallible>(answer(&parts, &body))
    });
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

/// A server of `a.example` over TLS, which asks for certificates of these clients.
async fn over_tls(
    authority: &Authority,
    clients: Option<&Authority>,
    answer: fn(&http::request::Parts, &Bytes) -> Reply,
) -> SocketAddr {
    let (certificate, key) = authority.issue("a.example", ExtendedKeyUsagePurpose::ServerAuth);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier: Arc<dyn ClientCertVerifier> = match clients {
        None => Arc::new(NoClientAuth),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(clients.der.clone()).unwrap();
            let provider = Arc::clone(&provider);
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap()
        }
    };
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream, answer).await;
                }
            });
        }
    });
    address
}

async fn in_clear_text(answer: fn(&http::request::Parts, &Bytes) -> Reply) -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, answer));
        }
    });
    address
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn ask(address: SocketAddr, tls: Tls) -> Ask {
    Ask { tls: Some(tls), ..Ask::get("https://a.example/x?y=1").connecting_to(address) }
}

async fn sent(ask: &Ask) -> Answer {
    super::send(ask, true).await.unwrap()
}

fn failed(answer: &Answer) -> Option<FailureKind> {
    assert_eq!(answer.status, None, "{answer:?}");
    answer.failure.as_ref().map(|failure| failure.kind)
}

/// Tells what it was asked for.
fn told(parts: &http::request::Parts, body: &Bytes) -> Reply {
    let host = parts.headers.get("host").map(|host| host.to_str().unwrap().to_owned());
    let host = host.or_else(|| parts.uri.authority().map(ToString::to_string)).unwrap_or_default();
    let text = String::from_utf8_lossy(body);
    let kind = parts.headers.get("content-type").map(|kind| kind.to_str().unwrap()).unwrap_or_default();
    let (method, version) = (&parts.method, parts.version);
    let path = parts.uri.path_and_query().unwrap();
    let line = format!("{method} {host} {path} {version:?} {kind} {text}");
    Response::new(Full::new(Bytes::from(line)).boxed())
}

#[tokio::test]
async fn a_request_over_tls_tells_the_certificate_that_it_was_shown() {
    let authority = Authority::new("our-ca");
    let address = over_tls(&authority, None, told).await;
    let answer = sent(&ask(address, authority.believed())).await;
    assert_eq!(answer.complete(), Some(200), "{answer:?}");
    assert_eq!(answer.body.trim_end(), "GET a.example /x?y=1 HTTP/1.1");
    let shown = answer.certificate.unwrap();
    assert_eq!((shown.names, shown.issued_by.as_deref()), (vec!["a.example".to_owned()], Some("our-ca")));
    assert_eq!(answer.peer, Some(address));
}

#[tokio::test]
async fn body_method_and_version_of_http_are_those_that_were_asked_for() {
    let authority = Authority::new("our-ca");
    let address = over_tls(&authority, None, told).await;
    let ask = Ask {
        method: "PUT".into(),
        http: Http::Two,
        body: Some(Body::text("hello")),
        ..ask(address, authority.believed())
    };
    assert_eq!(sent(&ask).await.body, "PUT a.example /x?y=1 HTTP/2.0 text/plain hello");
    let ask = ask.header("Content-Type", "text/other");
    assert_eq!(sent(&ask).await.body, "PUT a.example /x?y=1 HTTP/2.0 text/other hello");
}

#[tokio::test]
async fn another_authority_or_another_name_than_wanted_is_a_failure_that_shows_the_certificate() {
    let authority = Authority::new("our-ca");
    let address = over_tls(&authority, None, told).await;
    let other = Authority::new("other-ca");
    let renamed = Tls { server_name: Some("b.example".into()), ..authority.believed() };
    for tls in [other.believed(), renamed.clone()] {
        let answer = sent(&ask(address, tls)).await;
        assert_eq!(failed(&answer), Some(FailureKind::Tls), "{answer:?}");
        assert_eq!(answer.certificate.unwrap().issued_by.as_deref(), Some("our-ca"));
    }
    // Whoever believes anybody looks at neither.
    let answer = sent(&ask(address, Tls { authorities: None, ..renamed })).await;
    assert_eq!(answer.complete(), Some(200), "{answer:?}");
}

#[tokio::test]
async fn a_client_is_let_in_with_its_certificate_alone() {
    let (authority, clients) = (Authority::new("our-ca"), Authority::new("clients"));
    let address = over_tls(&authority, Some(&clients), told).await;
    let with = |client| ask(address, Tls { client, ..authority.believed() });
    assert_eq!(sent(&with(Some(clients.client()))).await.complete(), Some(200));
    for client in [None, Some(authority.client())] {
        let answer = sent(&with(client)).await;
        assert_eq!(failed(&answer), Some(FailureKind::Tls), "{answer:?}");
    }
}

#[tokio::test]
async fn clear_text_where_tls_is_to_be_is_a_failure_of_tls() {
    let address = in_clear_text(told).await;
    let answer = sent(&ask(address, Tls::default())).await;
    assert_eq!((failed(&answer), answer.certificate), (Some(FailureKind::Tls), None));
}

#[tokio::test]
async fn nobody_there_and_silence_are_told_apart() {
    let (listener, address) = listen().await;
    let ask = ask(address, Tls::default()).within(Duration::from_millis(50));
    assert_eq!(failed(&sent(&ask).await), Some(FailureKind::Timeout));
    drop(listener);
    assert_eq!(failed(&sent(&ask).await), Some(FailureKind::Refused));
}

#[tokio::test]
async fn certificates_that_are_none_are_an_error_of_the_question() {
    let (_, address) = listen().await;
    let authorities = Some("no pem".to_owned());
    let wrong = super::send(&ask(address, Tls { authorities, ..Tls::default() }), true).await;
    assert!(matches!(wrong, Err(ProbeError::Tls { .. })), "{wrong:?}");
}

/// A server of WebSockets that answers a message as `answer` says; nothing closes.
async fn websocket(answer: fn(&str) -> Option<String>) -> SocketAddr {
    use futures::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::Message;
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
            while let Some(Ok(Message::Text(text))) = socket.next().await {
                match answer(text.as_str()) {
                    Some(text) => socket.send(Message::text(text)).await.unwrap(),
                    None => socket.close(None).await.unwrap(),
                }
            }
        }
    });
    address
}

fn ask_websocket(address: SocketAddr) -> Ask {
    let exchange = Exchange::WebSocket("hello".into());
    Ask { exchange, ..Ask::get("http://a.example/chat").connecting_to(address) }
}

#[tokio::test]
async fn the_message_that_comes_back_is_the_body() {
    let address = websocket(|text| Some(text.to_owned())).await;
    let answer = sent(&ask_websocket(address)).await;
    assert_eq!((answer.complete(), answer.body.as_str()), (Some(101), "hello"), "{answer:?}");
    assert_eq!(answer.headers.get("upgrade").map(String::as_str), Some("websocket"));
}

#[tokio::test]
async fn another_message_is_told_and_none_is_an_answer_cut_off() {
    let address = websocket(|_| Some("good-bye".into())).await;
    assert_eq!(sent(&ask_websocket(address)).await.body, "good-bye");
    let address = websocket(|_| None).await;
    let answer = sent(&ask_websocket(address)).await;
    assert_eq!((answer.status, answer.complete()), (Some(101), None), "{answer:?}");
}

#[tokio::test]
async fn a_server_that_does_not_upgrade_answers_as_any_other() {
    let address = in_clear_text(|_, _| reply("what?")).await;
    let answer = sent(&ask_websocket(address)).await;
    assert_eq!((answer.complete(), answer.body.as_str()), (Some(200), "what?"));
}

#[tokio::test]
async fn an_upgrade_without_the_key_is_none() {
    let address = in_clear_text(|_, _| {
        let mut response = reply("");
        *response.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert("upgrade", HeaderValue::from_static("websocket"));
        response
    })
    .await;
    assert_eq!(sent(&ask_websocket(address)).await.complete(), None);
}

fn ask_grpc(address: SocketAddr) -> Ask {
    let exchange = Exchange::GrpcHealth("shop.Cart".into());
    let url = format!("http://a.example{GRPC_HEALTH}");
    Ask { method: "POST".into(), exchange, ..Ask::get(url).connecting_to(address) }
}

/// Ends a call with this status.
fn ended(body: &'static [u8], status: &'static str) -> Reply {
    let mut end = http::HeaderMap::new();
    end.insert("grpc-status", HeaderValue::from_static(status));
    Response::new(Full::new(Bytes::from_static(body)).with_trailers(async { Some(Ok(end)) }).boxed())
}

#[tokio::test]
async fn the_health_of_a_service_is_the_body_and_its_status_a_header() {
    let address = in_clear_text(|parts, body| {
        assert_eq!((parts.version, parts.uri.path()), (http::Version::HTTP_2, GRPC_HEALTH));
        assert_eq!(parts.headers["content-type"], "application/grpc");
        assert_eq!(body.as_ref(), b"\0\0\0\0\x0b\x0a\x09shop.Cart");
        let mut reply = ended(b"\0\0\0\0\x02\x08\x02", "0");
        let told = HeaderValue::from_static(r#"{"pod":"backend-v1-5d9c7b6f4-x2x7f","method":"POST"}"#);
        reply.headers_mut().insert(ACCOUNT, told);
        reply
    })
    .await;
    let answer = sent(&ask_grpc(address)).await;
    assert_eq!((answer.complete(), answer.body.as_str()), (Some(200), "NOT_SERVING"), "{answer:?}");
    assert_eq!(answer.headers.get("grpc-status").map(String::as_str), Some("0"));
    assert!(answer.is_from("backend-v1"));
}

#[tokio::test]
async fn a_call_that_fails_has_its_status_and_nothing_else() {
    let address = in_clear_text(|_, _| ended(b"", "14")).await;
    let answer = sent(&ask_grpc(address)).await;
    assert_eq!((answer.complete(), answer.body.as_str()), (Some(200), ""));
    assert_eq!(answer.headers.get("grpc-status").map(String::as_str), Some("14"));
}
