//! Words that change the world.

pub mod apply;
pub mod certificates;
pub mod delete;
pub mod install;
pub mod istio;
pub mod kill;
mod made;
pub mod node;
pub mod patch;
pub mod restart;
pub mod rollout;
pub mod root;
pub mod scale;
pub mod shell;
pub mod tool;
pub mod traffic;
