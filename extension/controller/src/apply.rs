//! Writes to the API server.

use crate::plan::{Action, Write};
use crate::request::{RequestError, answered};
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
    Failed(RequestError),
}

/// Performs a write. Never takes much longer than [`LIMIT`](crate::request::LIMIT).
pub async fn apply(client: kube::Client, write: &Write) -> Outcome {
    let (kind, key) = &write.target;
    let resource = kind.resource();
    let api: Api<DynamicObject> = if key.namespace.is_empty() {
        Api::all_with(client, &resource)
    } else {
        Api::namespaced_with(client, &key.namespace, &resource)
    };
    let request = async {
        match &write.action {
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
        }
    };
    match answered(request).await {
        Ok(()) => Outcome::Written,
        Err(RequestError::Kube(kube::Error::Api(status))) if status.code == 409 => Outcome::Stale,
        // For an apply, "not found" is about the namespace, or the kind.
        Err(RequestError::Kube(kube::Error::Api(status)))
            if status.code == 404 && !matches!(write.action, Action::Apply(_)) =>
        {
            Outcome::Stale
        }
        Err(error) => Outcome::Failed(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::LIMIT;
    use crate::translate::Settling;
    use crate::world::{Key, Watched};
    use alb_runtime::fake_api::{FakeApi, Lost, Weather};
    use serde_json::json;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn a_write_that_nobody_answers_has_failed_after_the_limit() {
        let deaf = || {
            let lost = |_: &http::Method, _: &str| Weather { lost: Lost::Answer, ..Weather::default() };
            FakeApi::new().client_with(lost)
        };
        for action in [
            Action::PatchStatus(json!({"status": {}})),
            Action::Apply(json!({"metadata": {"name": "frontend"}})),
            Action::Delete { uid: "uid".to_owned() },
        ] {
            let write = Write {
                target: (Watched::Service, Key::new("ns", "frontend")),
                action,
                seen: String::new(),
                fingerprint: String::new(),
                settling: Settling::No,
            };
            let begun = Instant::now();
            let outcome = tokio::time::timeout(LIMIT * 2, apply(deaf(), &write)).await.unwrap();
            assert!(matches!(outcome, Outcome::Failed(RequestError::NoAnswer)), "{outcome:?}");
            assert!(begun.elapsed() >= LIMIT, "the API server had its time: {:?}", begun.elapsed());
        }
    }
}
