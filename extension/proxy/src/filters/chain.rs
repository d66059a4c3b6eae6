//! The filters of a rule, or of one of its backends, ready for use.

use super::answer::{Answer, Arrival};
use super::cors::Cors;
use super::header_modifier::HeaderModifier;
use super::mirror::{Mirror, Mirrored};
use super::redirect::Redirect;
use super::rewrite::Rewrite;
use crate::upstream::Backend;
use alb_config::proto::{self, filter::Kind};
use http::header::ORIGIN;
use http::{HeaderMap, HeaderValue, StatusCode, request};
use std::sync::Arc;

/// Filters. Those that act on a request do so in the order in which they are written, and those that answer it before all others.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    cors: Option<Cors>,
    redirect: Option<Redirect>,
    request: Vec<Step>,
    response: Vec<HeaderModifier>,
}

/// What is done to a request.
#[derive(Debug)]
enum Step {
    Headers(HeaderModifier),
    Rewrite(Rewrite),
    Mirror(Arc<Mirror>),
}

impl Filters {
    /// Reads what the controller says; none when there is nothing to be done. `backend` finds a backend by the name of its
    /// resource: one that is not there yet is not mirrored to.
    ///
    /// # Errors
    /// Says which filter cannot be used: none may be left out.
    pub(crate) fn new(
        given: &[proto::Filter],
        backend: &mut dyn FnMut(&str) -> Option<Arc<Backend>>,
    ) -> Result<Option<Arc<Self>>, String> {
        if given.is_empty() {
            return Ok(None);
        }
        let mut filters = Self::default();
        for filter in given {
            match &filter.kind {
                Some(Kind::RequestHeaders(given)) => {
                    filters.request.push(Step::Headers(HeaderModifier::new(given)?));
                }
                Some(Kind::ResponseHeaders(given)) => filters.response.push(HeaderModifier::new(given)?),
                Some(Kind::Redirect(given)) => filters.redirect = Some(Redirect::new(given)?),
                Some(Kind::Rewrite(given)) => filters.request.push(Step::Rewrite(Rewrite::new(given)?)),
                Some(Kind::Mirror(given)) => {
                    if let Some(backend) = backend(&given.backend) {
                        filters.request.push(Step::Mirror(Arc::new(Mirror::new(given, backend)?)));
                    }
                }
                Some(Kind::Cors(given)) => filters.cors = Some(Cors::new(given)?),
                None => return Err("a filter of a kind that is not known".to_owned()),
            }
        }
        Ok(Some(Arc::new(filters)))
    }

    /// Whether it answers preflight requests.
    pub(crate) fn has_cors(&self) -> bool {
        self.cors.is_some()
    }

    /// The answer, when it is given here. `host` stands for that of a request that names none.
    pub(crate) fn answer(&self, request: &request::Parts, arrival: &Arrival, host: &str) -> Option<Answer> {
        // A preflight request that is redirected has failed.
        let preflight = self.cors.as_ref().and_then(|cors| cors.preflight(request));
        preflight.or_else(|| self.redirect.as_ref().map(|redirect| redirect.answer(request, arrival, host)))
    }

    /// Acts on a request that is ready to leave. What is to be mirrored is put into `mirrored`, as it is when the filter's turn
    /// comes.
    pub(crate) fn request(
        &self,
        request: &mut request::Parts,
        arrival: &mut Arrival,
        mirrored: &mut Vec<Mirrored>,
    ) {
        for step in &self.request {
            match step {
                Step::Headers(modifier) => modifier.apply(&mut request.headers),
                Step::Rewrite(rewrite) => rewrite.apply(request, &mut arrival.matched),
                Step::Mirror(mirror) => mirrored.extend(mirror.copy(request)),
            }
        }
    }

    fn response(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        for modifier in &self.response {
            modifier.apply(headers);
        }
        if let Some(cors) = &self.cors {
            cors.respond(origin, headers);
        }
    }
}

/// What is to be done to the response to a request, whoever gives it.
#[derive(Debug, Default)]
pub(crate) struct Finish {
    /// In the order in which they act.
    filters: [Option<Arc<Filters>>; 2],
    origin: Option<HeaderValue>,
    /// The answer to a preflight request says everything already.
    done: bool,
}

impl Finish {
    /// The filters of the request's rule have this to say of the response.
    pub(crate) fn rule(&mut self, filters: &Arc<Filters>, request: &request::Parts) {
        self.filters[1] = Some(filters.clone());
        self.note(filters, request);
    }

    /// And those of the backend, before.
    pub(crate) fn backend(&mut self, filters: &Arc<Filters>, request: &request::Parts) {
        self.filters[0] = Some(filters.clone());
        self.note(filters, request);
    }

    fn note(&mut self, filters: &Filters, request: &request::Parts) {
        if filters.has_cors() {
            self.origin = request.headers.get(ORIGIN).cloned();
        }
    }

    /// A filter has answered: its answer is complete but for header fields that are set.
    pub(crate) fn answered(&mut self, answer: &Answer) {
        self.done = answer.status == StatusCode::NO_CONTENT;
    }

    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        if self.done {
            return;
        }
        for filters in self.filters.iter().flatten() {
            filters.response(self.origin.as_ref(), headers);
        }
    }
}
