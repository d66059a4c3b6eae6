//! The Gateway API's own conformance suite: what it would do, and what it says while it does it. Nothing here starts it.

mod plan;
mod report;
mod stream;

pub use plan::{Asked, Made, Object, Plan, Planned, Profile, Selection};
pub use report::profiles;
pub use stream::{Stream, Told};
