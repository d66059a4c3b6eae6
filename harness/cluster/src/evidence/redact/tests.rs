use proptest::prelude::*;

use super::*;

const KEY: &str = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----\n";
const INSTEAD: &str = "(removed: private key)";
/// 32 bytes.
const OPAQUE: &str = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=";

#[test]
fn private_keys_go_and_certificates_stay() {
    let certificate = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIRAJ9mQ2xKZ1r8b0YhV3m4T5Uxq83vEjRWeJCrze8S\n-----END CERTIFICATE-----\n";
    let kept = text(&format!("before\n{certificate}{KEY}after"));
    assert_eq!(kept, format!("before\n{certificate}{INSTEAD}\nafter"));
    let encoded = "tls.crt: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJzekNDQVZtZ0F3SUJBZ0lSQUo5bVEyeEtaMXI4YjBZaFYzbTRUNVV4";
    assert_eq!(text(encoded), encoded);
}

#[test]
fn a_key_that_is_cut_off_goes_as_well() {
    assert_eq!(text("log: -----BEGIN PRIVATE KEY-----\\nMHcCAQ"), format!("log: {INSTEAD}"));
}

#[test]
fn tokens_go() {
    let token = format!("eyJhbGciOiJSUzI1NiJ9.{}.{}", "a".repeat(40), "b".repeat(20));
    assert_eq!(text(&format!("Bearer {token} end")), "Bearer (removed: token) end");
    assert_eq!(text("eyJ short"), "eyJ short");
    for token in [
        OPAQUE,
        "ghp_0123456789abcdefghijABCDEFGHIJ012345",
        "AKIAIOSFODNN7EXAMPLE",
        "xoxb-123456789012-abcdefghij",
    ] {
        assert_eq!(text(&format!("with {token} in it")), "with (removed: token) in it", "{token}");
    }
}

#[test]
fn what_is_called_a_credential_goes_whatever_it_looks_like() {
    for (given, kept) in [
        ("password=hunter2 next", "password=(removed) next"),
        ("DB_PASSWORD: hunter2", "DB_PASSWORD: (removed)"),
        (r#"{"apiKey": "abc", "a": 1}"#, r#"{"apiKey": "(removed)", "a": 1}"#),
        (r#"{\"client_secret\":\"abc\"}"#, r#"{\"client_secret\":\"(removed)\"}"#),
        ("note=1 password=hunter2", "note=1 password=(removed)"),
        (r#"password: "two words""#, "password: (removed)"),
        ("x-api-key: abc", "x-api-key: (removed)"),
        ("postgres://user:hunter2@db.shop:5432/x", "postgres://user:(removed)@db.shop:5432/x"),
        ("GET /a?token=abc&b=1", "GET /a?token=(removed)&b=1"),
    ] {
        assert_eq!(text(given), kept, "{given}");
    }
    for given in [
        "Authorization: Basic dXNlcjpodW50ZXIy",
        "msg: login with --password hunter2 failed",
        "passphrase: two hunter2 words",
    ] {
        let seen = text(given);
        assert!(
            !seen.contains("hunter2") && !seen.contains("dXNlcjpodW50ZXIy") && seen.contains("(removed"),
            "{seen}"
        );
    }
}

#[test]
fn what_only_speaks_of_one_stays() {
    for kept in [
        "secretName: backend-tls",
        "automountServiceAccountToken: false",
        "tokenExpirationSeconds: 3600",
        "token expired, asking for another one",
        "path: /var/run/secrets/kubernetes.io/serviceaccount",
        "image: localhost/x@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "uid: 0d2d2f3e-7d0c-4c5e-9a63-3c1b0d6d5d0a",
        "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "outbound|8080||backend-v1.test-infra.svc.cluster.local",
        "https://istiod.istio-system.svc:15012/v1/certificates",
    ] {
        assert_eq!(text(kept), kept);
    }
}

#[test]
fn secrets_keep_their_keys_and_certificates_only() {
    let mut secret = json!({
        "kind": "Secret",
        "metadata": {"name": "s", "managedFields": [{}], "annotations": {"alb.networking.azure.io/serial": "1f"}},
        "data": {"tls.crt": "cert", "tls.key": "c2VjcmV0", "token": "abc"}
    });
    object(&mut secret);
    assert_eq!(
        secret["data"],
        json!({
            "tls.crt": "cert", "tls.key": "(removed: 8 characters)", "token": "(removed: 3 characters)"
        })
    );
    assert_eq!(secret["metadata"]["annotations"]["alb.networking.azure.io/serial"], "1f");
    assert!(secret["metadata"].get("managedFields").is_none());
}

#[test]
fn environment_config_maps_and_arguments_lose_what_their_names_call_a_credential() {
    let mut pod = json!({"kind": "Pod", "spec": {"containers": [{
        "args": ["--password", "hunter2", "--verbose", "yes"],
        "env": [
            {"name": "DB_PASSWORD", "value": "hunter2"},
            {"name": "POD_NAME", "value": "a"},
            {"name": "API_KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        ],
        "livenessProbe": {"httpGet": {"httpHeaders": [{"name": "Authorization", "value": "hunter2"}]}},
    }]}});
    object(&mut pod);
    assert!(!pod.to_string().contains("hunter2"), "{pod}");
    let container = &pod["spec"]["containers"][0];
    assert_eq!(container["env"][1]["value"], "a");
    assert_eq!(container["env"][2]["valueFrom"]["secretKeyRef"], json!({"name": "s", "key": "k"}));
    assert_eq!(container["args"][3], "yes");
    let mut map =
        json!({"kind": "ConfigMap", "data": {"db.password": "hunter2", "level": "debug", "ca.crt": "cert"}});
    object(&mut map);
    assert_eq!(
        map["data"],
        json!({"db.password": "(removed: 7 characters)", "level": "debug", "ca.crt": "cert"})
    );
}

proptest! {
    #[test]
    fn no_key_survives_whatever_is_around_it(before in ".{0,60}", after in ".{0,60}") {
        let kept = text(&format!("{before}{KEY}{after}"));
        prop_assert!(!kept.contains("MHcCAQEE"));
    }

    #[test]
    fn no_opaque_key_survives_whatever_is_around_it(before in "[ -,:-@]{0,30} ", after in " [ -~]{0,30}") {
        let kept = text(&format!("{before}{OPAQUE}{after}"));
        prop_assert!(!kept.contains(OPAQUE));
    }

    #[test]
    fn text_of_words_is_kept_as_it_is(plain in "([a-z]{1,9} ){0,20}") {
        prop_assert_eq!(text(&plain), plain);
    }
}
