//! What all manifests of the controller have in common.

use crate::world::World;
use alb_api::names::{self, annotation};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// Names the owner of a manifest, so that the object goes when the chart does, and puts its hash into the annotations:
/// what does not carry the same hash must be written.
pub(super) fn finished(mut manifest: Value, world: &World) -> Value {
    if let (Some(owner), Some(metadata)) = (&world.owner, manifest["metadata"].as_object_mut()) {
        let reference = json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "name": names::PROXY_SERVICE_ACCOUNT,
            "uid": owner,
        });
        metadata.insert("ownerReferences".to_owned(), json!([reference]));
    }
    let hash = Sha256::digest(manifest.to_string());
    let hash = hash.iter().take(8).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    if let Some(annotations) = manifest.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.insert(annotation::TEMPLATE_HASH.to_owned(), Value::String(hash));
    }
    manifest
}
