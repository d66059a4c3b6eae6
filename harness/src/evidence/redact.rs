//! What must not be kept: private keys, tokens, the content of Secrets.

use serde_json::{Value, json};

const INSTEAD: &str = "(removed: private key)";

/// Removes managed fields and the content of Secrets from an object. Of a Secret's keys their size is told,
/// and certificates stay: they are public, and often the point.
pub(super) fn object(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }
    if object.get("kind").and_then(Value::as_str) != Some("Secret") {
        return;
    }
    for field in ["data", "stringData"] {
        for (key, value) in object.get_mut(field).and_then(Value::as_object_mut).into_iter().flatten() {
            if !is_certificate(key) {
                let size = value.as_str().map_or(0, str::len);
                *value = json!(format!("(removed: {size} characters)"));
            }
        }
    }
}

/// Keys that hold certificates and nothing else, by convention of Kubernetes and Istio.
fn is_certificate(key: &str) -> bool {
    matches!(key, "tls.crt" | "ca.crt" | "root-cert.pem" | "cert-chain.pem" | "ca-cert.pem")
}

/// Text without private keys (PEM) and bearer tokens.
pub(super) fn text(text: &str) -> String {
    let text = blocks(text);
    tokens(&text)
}

/// Replaces PEM blocks of private keys; a block that does not end is removed to the end. JSON and YAML spell
/// line breaks as `\n`, which makes no difference here.
fn blocks(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(begin) = find_begin(rest) {
        kept.push_str(&rest[..begin]);
        kept.push_str(INSTEAD);
        let block = &rest[begin..];
        rest = match block.find("-----END ") {
            Some(end) => {
                let tail = &block[end + "-----END ".len()..];
                tail.find("-----").map_or("", |dashes| &tail[dashes + "-----".len()..])
            }
            None => "",
        };
    }
    kept.push_str(rest);
    kept
}

/// Where a PEM block of a private key begins, whatever kind of key it is.
fn find_begin(text: &str) -> Option<usize> {
    const BEGIN: &str = "-----BEGIN ";
    let mut from = 0;
    while let Some(at) = text[from..].find(BEGIN).map(|at| from + at) {
        let label = &text[at + BEGIN.len()..];
        let end = label.find("-----").unwrap_or(label.len());
        if label[..end].ends_with("PRIVATE KEY") {
            return Some(at);
        }
        from = at + BEGIN.len();
    }
    None
}

/// Replaces JSON Web Tokens: three base64url parts, the first of which begins with `{"`.
fn tokens(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("eyJ") {
        let candidate = &rest[at..];
        let end = candidate
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
            .unwrap_or(candidate.len());
        kept.push_str(&rest[..at]);
        if candidate[..end].matches('.').count() == 2 && end > 60 {
            kept.push_str("(removed: token)");
        } else {
            kept.push_str(&candidate[..end]);
        }
        rest = &candidate[end..];
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----\n";

    #[test]
    fn private_keys_go_and_certificates_stay() {
        let certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        let kept = text(&format!("before\n{certificate}{KEY}after"));
        assert_eq!(kept, format!("before\n{certificate}{INSTEAD}\nafter"));
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

    proptest! {
        #[test]
        fn no_key_survives_whatever_is_around_it(before in ".{0,60}", after in ".{0,60}") {
            let kept = text(&format!("{before}{KEY}{after}"));
            prop_assert!(!kept.contains("MHcCAQEE"));
        }

        #[test]
        fn text_without_secrets_is_kept_as_it_is(plain in "[ -~]{0,200}") {
            prop_assume!(!plain.contains("-----BEGIN") && !plain.contains("eyJ"));
            prop_assert_eq!(text(&plain), plain);
        }
    }
}
