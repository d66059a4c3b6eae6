//! Bodies on their way through: counted, watched, never held up.

mod copy;
mod request;
mod response;

pub(crate) use copy::Copied;
pub(crate) use request::RequestBody;
pub(crate) use response::ResponseBody;

use crate::idle::Stalled;

/// A body that ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("{0}")]
    Stalled(Stalled),
    #[error("not complete within the time limit")]
    TimedOut,
    #[error("the response is complete, and nobody has asked for the body")]
    NotWanted,
    #[error(transparent)]
    Broken(#[from] hyper::Error),
}
