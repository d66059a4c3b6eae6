//! The words steps are made of, and the witnesses claims can call.

use crate::action::{
    apply, certificates, delete, end_connections, given, helm, install, install_istio, kill, kubectl, patch,
    restart, rotate_root, scale, shell, start_node, stop_node, traffic, uninstall, uninstall_istio,
};
use crate::claim::{
    absent, answers, event, leads, not_restarted, pods, request, rotations, served, single_writer, status,
    unbroken, unfit, value,
};
use crate::word::Definition;

/// Every word.
pub const WORDS: &[&Definition] = &[
    &apply::WORD,
    &certificates::WORD,
    &delete::WORD,
    &given::WORD,
    &install::WORD,
    &uninstall::WORD,
    &install_istio::WORD,
    &uninstall_istio::WORD,
    &rotate_root::WORD,
    &patch::WORD,
    &kill::WORD,
    &stop_node::WORD,
    &end_connections::WORD,
    &start_node::WORD,
    &traffic::WORD,
    &helm::WORD,
    &kubectl::WORD,
    &shell::WORD,
    &restart::WORD,
    &scale::WORD,
    &pods::WORD,
    &status::WORD,
    &request::WORD,
    &served::WORD,
    &answers::WORD,
    &absent::WORD,
    &event::WORD,
    &leads::WORD,
    &not_restarted::WORD,
    &rotations::WORD,
    &single_writer::WORD,
    &unbroken::WORD,
    &unfit::WORD,
    &value::WORD,
];

/// Every witness, with what it bears out.
pub const WITNESSES: &[(&str, &str)] = &[
    ("mtls-from-extension", "the backend's sidecar saw mutual TLS from the gateway's SPIFFE identity"),
    ("clear-text-refused", "a clear-text client outside the mesh, straight to the pod, gets no answer"),
    ("clear-text-answered", "a clear-text client outside the mesh, straight to the pod, gets 200"),
    ("clear-text-to-backend", "gateway and backend both say that no TLS was spoken between them"),
    (
        "verified-tls-to-backend",
        "gateway and backend both say that TLS was spoken, under the name the BackendTLSPolicy asks for",
    ),
    (
        "newest-certificate",
        "new connections to the backend carry the certificate that is published now, and no other",
    ),
    (
        "tls-without-istio-alpn-refused",
        "for each 503 the gateway opened a connection with TLS and no Istio ALPN, and the program got nothing in clear text",
    ),
    (
        "never-clear-text",
        "the gateway tried nothing but mutual TLS, and the program behind the sidecar bears it out",
    ),
    (
        "issued-by-new-root",
        "certificates of both sides chain to the root plugged into Istio, and not to the one it had before",
    ),
    ("issued-by-istio", "the gateway's certificate chains to istiod's root and names its identity"),
    (
        "certificate-on-the-wire",
        "every proxy of the gateway showed a server in the mesh its newest certificate, of Istio's authority and its identity",
    ),
    (
        "server-certificate-refused",
        "for each 503 the gateway opened a connection, saw the server's certificate and sent it no request",
    ),
    ("nothing-made-by-hand", "no client certificate, CA or policy object made by a user exists"),
];

/// Whether there is a witness of this name.
pub fn witness(name: &str) -> bool {
    WITNESSES.iter().any(|(known, _)| *known == name)
}
