//! Compiles the protocol without `protoc`: protox parses it, prost and tonic generate the types.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(["alb/config/v1/config.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .type_attribute(".", "#[derive(serde::Serialize)]")
        // The proxy shares connections between endpoints whose security is the same.
        .type_attribute(".alb.config.v1.ServerTls", "#[derive(Eq, Hash)]")
        .field_attribute(".alb.config.v1.Secret.certificate_chain", PEM)
        .field_attribute(".alb.config.v1.Secret.trust_bundle", PEM)
        .field_attribute(".alb.config.v1.ServerTls.ca_certificates", PEM)
        .field_attribute(
            ".alb.config.v1.Secret.private_key",
            "#[serde(serialize_with = \"crate::secret::redacted\")]",
        )
        // Written by hand in secret.rs: key material never reaches a log.
        .skip_debug([".alb.config.v1.Secret"])
        .compile_fds(descriptors)?;
    Ok(())
}

const PEM: &str = "#[serde(serialize_with = \"crate::secret::pem\")]";
