//! A Kubernetes API server in this process, for tests: objects as JSON, resource versions, conflicts, watches.
//!
//! It speaks the real protocol to a real [`kube::Client`], without sockets, so tokio's paused clock works. It knows no
//! schemas, admission or defaults: what a test writes is what it reads. [`FakeApi::client_with`] gives a client whose
//! requests meet a [`Weather`]: late, lost, or refused.

mod path;
mod store;

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt, stream};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};

use path::Target;
use store::{Failure, Store};

type ResponseBody = UnsyncBoxBody<Bytes, Infallible>;

/// The server. Cheap to clone; all clones are one server.
#[derive(Clone)]
pub struct FakeApi {
    inner: Arc<Inner>,
}

struct Inner {
    store: Mutex<Store>,
    requests: Mutex<Vec<(Method, String)>>,
    /// The newest resource version, for watches.
    newest: watch::Sender<u64>,
}

/// What happens to one request on its way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// How long it takes to the server. The request arrives even if the client has given up by then.
    pub there: Duration,
    /// How long the answer takes back.
    pub back: Duration,
    /// Whether the request, or its answer, never arrives.
    pub lost: Lost,
    /// Answered with this status instead of being served.
    pub refuse: Option<StatusCode>,
}

/// What of an exchange gets lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lost {
    /// Nothing.
    #[default]
    No,
    /// The request: the server never sees it, the client never hears.
    Request,
    /// The answer: the server acts on it, the client never hears.
    Answer,
}

type Forecast = Arc<dyn Fn(&Method, &str) -> Weather + Send + Sync>;

impl Default for FakeApi {
    fn default() -> Self {
        let inner =
            Inner { store: Mutex::default(), requests: Mutex::default(), newest: watch::Sender::new(0) };
        Self { inner: Arc::new(inner) }
    }
}

impl fmt::Debug for FakeApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeApi").finish_non_exhaustive()
    }
}

impl FakeApi {
    /// An empty server.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A client in fair weather, with default namespace `default`.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client_with(|_, _| Weather::default())
    }

    /// A client whose every request meets `forecast(method, path and query)`.
    #[must_use]
    pub fn client_with(&self, forecast: impl Fn(&Method, &str) -> Weather + Send + Sync + 'static) -> Client {
        Client::new(Service { api: self.clone(), forecast: Arc::new(forecast) }, "default")
    }

    /// Creates or replaces an object (or its status), as an administrator would: unconditionally.
    ///
    /// # Panics
    /// When `path` names no object.
    pub fn put(&self, path: &str, object: Value) {
        let target = Target::parse(path).filter(|target| target.name.is_some());
        #[expect(clippy::expect_used, reason = "a test's own mistake")]
        let target = target.expect("a path to one object, such as /api/v1/namespaces/ns/secrets/name");
        let mut store = self.store();
        store.put(&target, object);
        self.inner.newest.send_replace(store.version());
    }

    /// Deletes an object, if it is there.
    pub fn delete(&self, path: &str) {
        if let Some(target) = Target::parse(path) {
            let mut store = self.store();
            // Nothing to delete is what was wanted.
            let _ = store.delete(&target);
            self.inner.newest.send_replace(store.version());
        }
    }

    /// The object at `path` as it is now.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<Value> {
        self.store().get(&Target::parse(path)?).ok()
    }

    /// The objects of the collection at `path`, by name.
    #[must_use]
    pub fn list(&self, path: &str) -> Vec<Value> {
        Target::parse(path).map(|target| self.store().list(&target)).unwrap_or_default()
    }

    /// Every request served so far: method, path and query.
    #[must_use]
    pub fn requests(&self) -> Vec<(Method, String)> {
        self.inner.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The requests served so far that were meant to change something.
    #[must_use]
    pub fn writes(&self) -> Vec<(Method, String)> {
        self.requests().into_iter().filter(|(method, _)| method != Method::GET).collect()
    }

    /// Returns once `condition` holds; looks after every change of any object.
    pub async fn until(&self, mut condition: impl FnMut(&Self) -> bool) {
        let mut newest = self.inner.newest.subscribe();
        loop {
            newest.mark_unchanged();
            if condition(self) {
                return;
            }
            // The sender lives in `self`, so the channel cannot close.
            let _ = newest.changed().await;
        }
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.inner.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(&self, request: Request<Body>) -> Response<ResponseBody> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        self.inner
            .requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((parts.method.clone(), path.clone()));
        let Some(target) = Target::parse(&path) else {
            return failure(Failure::NotFound(path));
        };
        let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
            return failure(Failure::BadRequest("the body broke off".to_owned()));
        };
        if target.watch {
            return self.watch(target);
        }
        let mut store = self.store();
        let outcome = match (&parts.method, serde_json::from_slice::<Value>(&body)) {
            (&Method::GET, _) if target.name.is_some() => store.get(&target).map(|o| (StatusCode::OK, o)),
            (&Method::GET, _) => Ok((
                StatusCode::OK,
                json!({
                    "kind": "List", "apiVersion": "v1",
                    "metadata": {"resourceVersion": store.version().to_string()},
                    "items": store.list(&target),
                }),
            )),
            (&Method::DELETE, _) => store.delete(&target).map(|object| (StatusCode::OK, object)),
            (&Method::POST, Ok(object)) => store.create(&target, object).map(|o| (StatusCode::CREATED, o)),
            (&Method::PUT, Ok(object)) => store.replace(&target, object).map(|o| (StatusCode::OK, o)),
            (&Method::PATCH, Ok(patch)) => {
                let kind = parts.headers.get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
                let creates = kind.is_some_and(|kind| kind.starts_with("application/apply-patch"));
                store.patch(&target, &patch, creates).map(|object| (StatusCode::OK, object))
            }
            (method, parsed) => Err(Failure::BadRequest(format!("{method} {path}: body {:?}", parsed.err()))),
        };
        self.inner.newest.send_if_modified(|newest| {
            let changed = *newest != store.version();
            *newest = store.version();
            changed
        });
        match outcome {
            Ok((status, object)) => answer(status, &object),
            Err(error) => failure(error),
        }
    }

    fn watch(&self, target: Target) -> Response<ResponseBody> {
        let since = target.since.unwrap_or_else(|| self.store().version());
        let state = (self.clone(), self.inner.newest.subscribe(), target, since);
        let lines = stream::unfold(state, async |(api, mut newest, target, since)| {
            loop {
                newest.mark_unchanged();
                let (events, version) = {
                    let store = api.store();
                    (store.events(&target, since), store.version())
                };
                if !events.is_empty() {
                    let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
                    return Some((lines, (api, newest, target, version)));
                }
                newest.changed().await.ok()?;
            }
        });
        let frames = boxed(lines.map(|lines| Ok(Frame::data(Bytes::from(lines)))));
        Response::new(StreamBody::new(frames).boxed_unsync())
    }
}

fn boxed<S>(stream: S) -> Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, Infallible>> + Send>>
where
    S: Stream<Item = Result<Frame<Bytes>, Infallible>> + Send + 'static,
{
    Box::pin(stream)
}

fn answer(status: StatusCode, object: &Value) -> Response<ResponseBody> {
    let mut response = Response::new(Full::new(Bytes::from(object.to_string())).boxed_unsync());
    *response.status_mut() = status;
    response
}

fn failure(failure: Failure) -> Response<ResponseBody> {
    let (code, reason, message) = failure.parts();
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": code.as_u16(), "reason": reason, "message": message,
    });
    answer(code, &status)
}

/// One client's way to the server.
struct Service {
    api: FakeApi,
    forecast: Forecast,
}

impl tower::Service<Request<Body>> for Service {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
        let weather = (self.forecast)(request.method(), &path);
        let api = self.api.clone();
        let (send, receive) = oneshot::channel();
        // A task of its own: a request under way arrives even when its sender has stopped waiting.
        tokio::spawn(async move {
            tokio::time::sleep(weather.there).await;
            if weather.lost == Lost::Request {
                return std::future::pending().await;
            }
            let response = match weather.refuse {
                Some(code) => failure(Failure::Refused(code)),
                None => api.serve(request).await,
            };
            if weather.lost == Lost::Answer {
                return std::future::pending().await;
            }
            tokio::time::sleep(weather.back).await;
            // Nobody waits any more: fine.
            let _ = send.send(response);
        });
        async move {
            match receive.await {
                Ok(response) => Ok(response),
                Err(_) => std::future::pending().await,
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
