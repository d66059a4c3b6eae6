//! Which requests are mirrored, and whereto (Gateway API, `HTTPRequestMirrorFilter`). Sending them is for
//! [`mirrors`](crate::mirrors).

use crate::upstream::Backend;
use alb_config::proto;
use http::{HeaderMap, Method, Uri, request};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Mirrored requests of one filter that may be under way.
const IN_FLIGHT: usize = 64;

/// Where requests are mirrored to.
#[derive(Debug)]
pub(crate) struct Mirror {
    pub(crate) backend: Arc<Backend>,
    /// Of so many requests ...
    denominator: u32,
    /// ... so many.
    numerator: u32,
    /// Places for requests under way: a backend that hangs holds these, and no others.
    pub(crate) places: Arc<Semaphore>,
}

/// A request to be mirrored, without its body.
#[derive(Debug)]
pub(crate) struct Mirrored {
    pub(crate) mirror: Arc<Mirror>,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
}

impl Mirror {
    /// # Errors
    /// When the share is none.
    pub(super) fn new(given: &proto::Mirror, backend: Arc<Backend>) -> Result<Self, String> {
        let proto::Mirror { numerator, denominator, .. } = *given;
        if denominator == 0 || numerator > denominator {
            return Err(format!("{numerator} of {denominator} requests cannot be mirrored"));
        }
        Ok(Self { backend, denominator, numerator, places: Arc::new(Semaphore::new(IN_FLIGHT)) })
    }

    /// The request, if it is one of those that are mirrored.
    pub(super) fn copy(self: &Arc<Self>, request: &request::Parts) -> Option<Mirrored> {
        self.takes(rand::random_range(0..self.denominator)).then(|| Mirrored {
            mirror: self.clone(),
            method: request.method.clone(),
            uri: request.uri.clone(),
            headers: request.headers.clone(),
        })
    }

    /// Whether it is, when this was drawn among `denominator` numbers.
    fn takes(&self, drawn: u32) -> bool {
        drawn < self.numerator
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::settings::Settings;
    use crate::upstream::Protocol;

    fn mirror(numerator: u32, denominator: u32) -> Result<Mirror, String> {
        let limit = Limits::new(&Settings::default()).backend();
        let backend = Arc::new(Backend::new(Vec::new(), Protocol::Http1, limit));
        Mirror::new(&proto::Mirror { backend: "b".into(), numerator, denominator }, backend)
    }

    #[test]
    fn so_many_of_so_many_are_taken() {
        for (numerator, denominator) in [(0, 1), (1, 1), (20, 100), (25, 50), (1, u32::MAX)] {
            let mirror = mirror(numerator, denominator).unwrap();
            let taken = (0..denominator.min(1000)).filter(|drawn| mirror.takes(*drawn)).count();
            assert_eq!(taken, numerator as usize, "{numerator}/{denominator}");
        }
        assert!(mirror(1, 0).is_err() && mirror(2, 1).is_err());
    }
}
