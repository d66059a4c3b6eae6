//! Writes to the API server.

use crate::plan::{Action, Write};
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};

/// Field manager of everything the controller writes.
pub const FIELD_MANAGER: &str = "alb-controller";

/// How a write ended.
#[derive(Debug)]
pub enum Outcome {
    /// Done.
    Written,
    /// The object has changed, or is gone, since it was looked at: look again.
    Stale,
    /// It failed; worth another try after a pause.
    Failed(kube::Error),
}

/// Performs a write.
pub async fn apply(client: kube::Client, write: &Write) -> Outcome {
    let (kind, key) = &write.target;
    let resource = kind.resource();
    let api: Api<DynamicObject> = if key.namespace.is_empty() {
        Api::all_with(client, &resource)
    } else {
        Api::namespaced_with(client, &key.namespace, &resource)
    };
    let result = match &write.action {
        Action::PatchStatus(patch) => {
            let parameters =
                PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
            api.patch_status(&key.name, &parameters, &Patch::Merge(patch)).await.map(drop)
        }
        Action::Apply(manifest) => {
            let parameters = PatchParams::apply(FIELD_MANAGER).force();
            api.patch(&key.name, &parameters, &Patch::Apply(manifest)).await.map(drop)
        }
        Action::Delete { uid } => {
            let preconditions = Preconditions { uid: Some(uid.clone()), ..Preconditions::default() };
            let parameters = DeleteParams::background().preconditions(preconditions);
            api.delete(&key.name, &parameters).await.map(drop)
        }
    };
    match result {
        Ok(()) => Outcome::Written,
        Err(kube::Error::Api(status)) if status.code == 409 => Outcome::Stale,
        // For an apply, "not found" is about the namespace, or the kind.
        Err(kube::Error::Api(status)) if status.code == 404 && !matches!(write.action, Action::Apply(_)) => {
            Outcome::Stale
        }
        Err(error) => Outcome::Failed(error),
    }
}
