//! Words that say something about the world: "becomes X within D", "stays X".

pub mod absent;
pub mod answers;
pub mod becomes;
pub(crate) mod drain;
pub mod event;
pub mod leads;
pub(crate) mod manner;
pub(crate) mod never;
pub mod not_restarted;
pub mod of_implementation;
pub mod pods;
pub mod request;
pub mod rotations;
pub mod served;
pub mod single_writer;
pub mod status;
pub mod tally;
pub(crate) mod target;
pub mod unbroken;
pub mod unfit;
pub mod value;
