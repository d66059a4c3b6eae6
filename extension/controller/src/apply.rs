//! Writes to the API server.

use crate::plan::{Action, Write};
use crate::request::{RequestError, answered_until};
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use serde_json::Value;
use tokio::time::Instant;

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

/// Performs a write, if nobody has changed the object since it was looked at. Takes until `until` at most, and never much
/// longer than [`LIMIT`](crate::request::LIMIT).
pub async fn apply(client: kube::Client, write: &Write, until: Instant) -> Outcome {
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
                let manifest = conditional(manifest, &write.seen);
                api.patch(&key.name, &parameters, &Patch::Apply(manifest)).await.map(drop)
            }
            Action::Delete { uid } => {
                let preconditions = Preconditions { uid: Some(uid.clone()), ..Preconditions::default() };
                let parameters = DeleteParams::background().preconditions(preconditions);
                api.delete(&key.name, &parameters).await.map(drop)
            }
        }
    };
    match answered_until(until, request).await {
        Ok(()) => Outcome::Written,
        Err(RequestError::Kube(kube::Error::Api(status))) if status.code == 409 => Outcome::Stale,
        // When an object is to be made, "not found" is about the namespace, or the kind.
        Err(RequestError::Kube(kube::Error::Api(status)))
            if status.code == 404 && !(matches!(write.action, Action::Apply(_)) && write.seen.is_empty()) =>
        {
            Outcome::Stale
        }
        Err(error) => Outcome::Failed(error),
    }
}

/// A manifest that applies to one version of an object only: a leader that has been replaced meanwhile must not undo what
/// its successor did. With no version it makes the object, or takes over one that has just been made.
pub(crate) fn conditional(manifest: &Value, version: &str) -> Value {
    let mut manifest = manifest.clone();
    if !version.is_empty() {
        manifest["metadata"]["resourceVersion"] = version.into();
    }
    manifest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Urgency;
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
                urgency: Urgency::Change,
            };
            let begun = Instant::now();
            let outcome =
                tokio::time::timeout(LIMIT * 2, apply(deaf(), &write, begun + LIMIT * 3)).await.unwrap();
            assert!(matches!(outcome, Outcome::Failed(RequestError::NoAnswer)), "{outcome:?}");
            assert!(begun.elapsed() >= LIMIT, "the API server had its time: {:?}", begun.elapsed());
            let begun = Instant::now();
            apply(deaf(), &write, begun + LIMIT / 2).await;
            assert_eq!(begun.elapsed(), LIMIT / 2, "no longer than the Lease allows");
        }
    }

    #[tokio::test]
    async fn a_manifest_is_applied_to_the_version_it_was_made_for_and_to_no_other() {
        const PATH: &str = "/api/v1/namespaces/ns/services/frontend";
        let api = FakeApi::new();
        let write = |seen: &str, port: u16| Write {
            target: (Watched::Service, Key::new("ns", "frontend")),
            action: Action::Apply(json!({"metadata": {"name": "frontend"}, "spec": {"port": port}})),
            seen: seen.to_owned(),
            fingerprint: String::new(),
            settling: Settling::No,
            urgency: Urgency::DataPlane,
        };
        let until = Instant::now() + LIMIT;
        let outcome = apply(api.client(), &write("", 1), until).await;
        assert!(matches!(outcome, Outcome::Written), "{outcome:?}");
        let version = api.get(PATH).unwrap()["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
        let outcome = apply(api.client(), &write(&version, 2), until).await;
        assert!(matches!(outcome, Outcome::Written), "{outcome:?}");
        let outcome = apply(api.client(), &write(&version, 3), until).await;
        assert!(matches!(outcome, Outcome::Stale), "{outcome:?}");
        assert_eq!(api.get(PATH).unwrap()["spec"]["port"], 2);
    }
}
