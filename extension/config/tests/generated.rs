//! `src/generated/` is what the protocol compiles to, without `protoc`: protox parses it, prost and tonic generate the types.
//!
//! The types are committed, so that a build of the extension compiles no generator, and a change of the protocol shows its
//! Rust side in review.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

const FILE: &str = "alb.config.v1.rs";

#[test]
fn the_generated_types_are_those_of_the_protocol() -> Result<(), Box<dyn Error>> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = tempfile::tempdir()?;
    generate(package, out.path())?;
    let generated = fs::read_to_string(out.path().join(FILE))?;
    let committed = package.join("src/generated").join(FILE);
    if env::var_os("REGENERATE").is_some() {
        fs::write(&committed, &generated)?;
    }
    assert!(
        fs::read_to_string(&committed).is_ok_and(|text| text == generated),
        "{} is not what proto/ says; generate it anew, and commit it:\n  REGENERATE=1 cargo test --package alb-config \
         --test generated",
        committed.display()
    );
    Ok(())
}

fn generate(package: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let descriptors = protox::compile(["alb/config/v1/config.proto"], [package.join("proto")])?;
    tonic_prost_build::configure()
        .out_dir(out)
        .type_attribute(".", "#[derive(serde::Serialize)]")
        // The proxy shares connections between endpoints whose security is the same.
        .type_attribute(".alb.config.v1.ServerTls", "#[derive(Eq, Hash)]")
        .field_attribute(".alb.config.v1.Secret.certificate_chain", PEM)
        .field_attribute(".alb.config.v1.Secret.trust_bundle", PEM)
        .field_attribute(".alb.config.v1.ServerTls.ca_certificates", PEM)
        .field_attribute(".alb.config.v1.Certificate.certificate_chain", PEM)
        .field_attribute(".alb.config.v1.Secret.private_key", REDACTED)
        .field_attribute(".alb.config.v1.Certificate.private_key", REDACTED)
        .field_attribute(".alb.config.v1.Backend.protocol", PROTOCOL)
        .field_attribute(".alb.config.v1.ClientValidation.ca_certificates", PEM)
        // Most have none: dumps need not say so.
        .field_attribute(".alb.config.v1.RouteRule.filtered", UNLESS_NONE)
        .field_attribute(".alb.config.v1.RouteRule.session_affinity", UNLESS_NONE)
        .field_attribute(".alb.config.v1.Frontend.backend_client_certificate", UNLESS_EMPTY)
        .field_attribute(".alb.config.v1.TlsListener.client_validation", UNLESS_NONE)
        .field_attribute(".alb.config.v1.TlsListener.policy", UNLESS_EMPTY)
        .field_attribute(".alb.config.v1.TlsListener.mode", TLS_MODE)
        // Written by hand in secret.rs: key material never reaches a log.
        .skip_debug([".alb.config.v1.Secret", ".alb.config.v1.Certificate"])
        .emit_rerun_if_changed(false)
        .compile_fds(descriptors)?;
    Ok(())
}

const UNLESS_NONE: &str = "#[serde(skip_serializing_if = \"Option::is_none\")]";
const REDACTED: &str = "#[serde(serialize_with = \"crate::secret::redacted\")]";
const PROTOCOL: &str =
    "#[serde(serialize_with = \"crate::dump::protocol\", skip_serializing_if = \"crate::dump::is_http1\")]";
const TLS_MODE: &str = "#[serde(serialize_with = \"crate::dump::tls_mode\", skip_serializing_if = \"crate::dump::terminates_http\")]";
const UNLESS_EMPTY: &str = "#[serde(skip_serializing_if = \"String::is_empty\")]";
const PEM: &str = "#[serde(serialize_with = \"crate::secret::pem\")]";
