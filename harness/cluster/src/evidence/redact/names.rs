//! Names of what holds a credential.

/// Words that such a name ends with.
const LAST: &[&str] = &[
    "apikey",
    "authorization",
    "cookie",
    "credential",
    "credentials",
    "dsn",
    "passphrase",
    "passwd",
    "password",
    "passwords",
    "pwd",
    "secret",
    "secrets",
    "token",
    "tokens",
];

/// Words before `key` or `string` of what is none.
const PUBLIC: &[&str] = &[
    "public",
    "label",
    "object",
    "map",
    "cache",
    "routing",
    "sort",
    "partition",
    "primary",
    "foreign",
    "topology",
];

/// Whether a variable, key, flag or header of this name holds a credential: `DB_PASSWORD`, `client-secret`, `apiKey`. What only
/// names one (`secretName`) or is about one (`tokenExpirationSeconds`) does not.
pub(super) fn is_sensitive(name: &str) -> bool {
    let words = words(name);
    let Some(last) = words.last() else { return false };
    if LAST.contains(&last.as_str()) {
        return true;
    }
    let before = words.len().checked_sub(2).and_then(|at| words.get(at));
    match last.as_str() {
        "key" | "keys" => before.is_some_and(|word| !PUBLIC.contains(&word.as_str())),
        "string" | "url" | "uri" => before.is_some_and(|word| word == "connection" || word == "database"),
        _ => false,
    }
}

/// The words of a name, in lower case: parted by punctuation, or by a capital after a small letter.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut small_before = false;
    for c in name.chars() {
        let is_apart = !c.is_alphanumeric();
        if is_apart || (c.is_uppercase() && small_before) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| !is_apart) {
            word.extend(c.to_lowercase());
        }
        small_before = c.is_lowercase() || c.is_numeric();
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_credentials_are_known_however_they_are_spelt() {
        for name in [
            "DB_PASSWORD",
            "GITHUB_TOKEN",
            "AWS_SECRET_ACCESS_KEY",
            "STRIPE_API_KEY",
            "clientSecret",
            "client-secret",
            "apiKey",
            "token",
            "Authorization",
            "set-cookie",
            "redis.password",
            "--password",
            "PGPASSWORD_PWD",
            "CONNECTION_STRING",
            "DATABASE_URL",
            "ssh-private-key",
        ] {
            assert!(is_sensitive(name), "{name}");
        }
        for name in [
            "secretName",
            "SECRET_NAME",
            "tokenExpirationSeconds",
            "POD_NAME",
            "KEYSTORE_PATH",
            "key",
            "publicKey",
            "sortKey",
            "imagePullSecretsPolicy",
            "ISTIO_META_CLUSTER_ID",
            "PASSWORD_FILE",
            "",
            "-",
        ] {
            assert!(!is_sensitive(name), "{name}");
        }
    }
}
