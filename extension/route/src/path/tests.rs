use super::*;
use proptest::prelude::*;

fn normal(path: &str) -> Result<String, PathError> {
    PathPolicy::default().apply(path).map(Cow::into_owned)
}

#[test]
fn one_path_has_one_form() {
    for (given, expected) in [
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/a/b/", "/a/b/"),
        ("//admin", "/admin"),
        ("/%61dmin", "/admin"),
        ("/x/../admin", "/admin"),
        ("/x/%2e%2E/admin", "/admin"),
        ("/x/.%2e/admin", "/admin"),
        ("/./admin", "/admin"),
        ("/admin/.", "/admin/"),
        ("/admin/x/..", "/admin/"),
        ("/admin//", "/admin/"),
        ("/a/..", "/"),
        ("///", "/"),
        ("/.hidden/..a/...", "/.hidden/..a/..."),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/%7Euser/%2D", "/~user/-"),
        ("/100%25", "/100%25"),
        ("/%252e%252e/", "/%252e%252e/"),
        ("/a%20b%3Fc%23", "/a%20b%3Fc%23"),
        ("/a;x=1/b", "/a;x=1/b"),
        ("/x//../admin", "/admin"),
        ("/:@!$&'()*+,=", "/:@!$&'()*+,="),
        ("/café", "/caf%C3%A9"),
        ("/{id}|\"^`", "/%7Bid%7D%7C%22%5E%60"),
    ] {
        assert_eq!(normal(given).as_deref(), Ok(expected), "{given}");
    }
}

#[test]
fn what_means_one_thing_here_and_another_there_is_refused() {
    for (given, error) in [
        ("admin", PathError::NotAbsolute),
        ("*", PathError::NotAbsolute),
        ("", PathError::NotAbsolute),
        ("/a%2Fb", PathError::EncodedSlash),
        ("/a%2fb", PathError::EncodedSlash),
        ("/a%5cb", PathError::EncodedSlash),
        ("/a\\b", PathError::Backslash),
        ("/..", PathError::AboveRoot),
        ("/../admin", PathError::AboveRoot),
        ("/a/../../admin", PathError::AboveRoot),
        ("/%2e%2e/admin", PathError::AboveRoot),
        ("//../admin", PathError::AboveRoot),
        ("/a%00", PathError::Nul),
        ("/a%", PathError::Escape),
        ("/a%2", PathError::Escape),
        ("/a%zz", PathError::Escape),
        ("/a%+1", PathError::Escape),
        ("/%é1", PathError::Escape),
        ("/a/..;x/admin", PathError::DotParameter),
        ("/a/.;/admin", PathError::DotParameter),
        ("/a/%2e%2e;x/admin", PathError::DotParameter),
    ] {
        assert_eq!(normal(given), Err(error), "{given}");
    }
}

#[test]
fn how_far_it_goes_can_be_said() {
    let policy = |normalization, encoded_slashes| PathPolicy { normalization, encoded_slashes };
    let apply = |policy: PathPolicy, path| policy.apply(path).map(Cow::into_owned);
    let base = policy(Normalization::Base, EncodedSlashes::Keep);
    assert_eq!(apply(base, "//%61//./b%2fc").as_deref(), Ok("//a//b%2Fc"));
    assert_eq!(apply(base, "/a//../b").as_deref(), Ok("/a/b"));
    assert_eq!(apply(base, "/a/b//").as_deref(), Ok("/a/b//"));
    let decode = policy(Normalization::MergeSlashes, EncodedSlashes::Decode);
    assert_eq!(apply(decode, "/a%2f%5C../b\\c").as_deref(), Ok("/b/c"));
    assert_eq!(apply(decode, "/%2f..").err(), Some(PathError::AboveRoot));
    let none = policy(Normalization::None, EncodedSlashes::Reject);
    assert_eq!(apply(none, "/a%2F/..//%zz").as_deref(), Ok("/a%2F/..//%zz"));
}

#[test]
fn the_words_for_it_are_read() {
    assert_eq!("merge-slashes".parse(), Ok(Normalization::MergeSlashes));
    assert_eq!("keep".parse(), Ok(EncodedSlashes::Keep));
    assert!("merge".parse::<Normalization>().unwrap_err().contains("merge-slashes"));
    assert!("".parse::<EncodedSlashes>().is_err());
}

/// Paths made of what matters.
fn path() -> impl Strategy<Value = String> {
    "/(\\.|\\.\\.|a|/|%2e|%2F|%61|%5c|%00|%|;|\\\\|é|%C3|~|b){0,12}"
}

fn policy() -> impl Strategy<Value = PathPolicy> {
    let normalization = prop_oneof![Just(Normalization::Base), Just(Normalization::MergeSlashes)];
    let slashes =
        prop_oneof![Just(EncodedSlashes::Reject), Just(EncodedSlashes::Keep), Just(EncodedSlashes::Decode)];
    (normalization, slashes)
        .prop_map(|(normalization, encoded_slashes)| PathPolicy { normalization, encoded_slashes })
}

/// At least so many cases; `PROPTEST_CASES` asks for more.
fn at_least(cases: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: config.cases.max(cases), ..config }
}

proptest! {
    #![proptest_config(at_least(2000))]

    #[test]
    fn a_normal_path_is_its_own_normal_form_and_leads_nowhere_else(policy in policy(), path in path()) {
        let Ok(normal) = policy.apply(&path) else { return Ok(()) };
        prop_assert!(normal.starts_with('/'));
        prop_assert!(normal.split('/').all(|segment| segment != "." && segment != ".."), "{normal}");
        if policy.normalization == Normalization::MergeSlashes {
            prop_assert!(!normal.contains("//"), "{normal}");
        }
        let again = policy.apply(&normal).map(Cow::into_owned);
        prop_assert_eq!(again.as_deref(), Ok(&*normal));
    }

    #[test]
    fn a_path_and_its_escaped_form_are_one(path in "/[a-z./~-]{0,12}") {
        let escaped: String = path.chars().map(|c| match c {
            '/' => "/".to_owned(),
            c => format!("%{:02x}", u32::from(c)),
        }).collect();
        prop_assert_eq!(normal(&path), normal(&escaped));
    }

    #[test]
    fn no_path_makes_it_panic(policy in policy(), path in ".*") {
        let _ = policy.apply(&path);
    }
}
