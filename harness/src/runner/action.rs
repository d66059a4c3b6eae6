//! Words that change the world.

pub mod apply;
pub mod delete;
pub mod install;
pub mod restart;
pub mod rollout;
pub mod scale;
pub mod tool;
