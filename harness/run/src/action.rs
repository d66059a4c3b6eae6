//! Words that change the world.

pub mod apply;
pub mod certificates;
pub mod delete;
pub mod end_connections;
pub mod given;
pub mod helm;
pub mod install;
pub mod install_istio;
pub mod kill;
pub mod kubectl;
mod made;
pub mod patch;
pub mod restart;
mod rollout;
pub mod rotate_root;
pub mod scale;
pub mod shell;
pub mod start_node;
pub mod stop_node;
mod tool;
pub mod traffic;
pub mod uninstall;
pub mod uninstall_istio;
