//! A page of our own, its later editions, and what becomes of it in between.

mod editions;

use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;

use super::compare::{Class, Comparison, compare};
use super::cover::World;
use super::hints::hints;
use super::known::Known;
use super::places::File;
use super::*;
use meshproof_model::event::{StepInfo, StepKind};
use meshproof_model::requirement::{Catalogue, Document};
use meshproof_model::scenario::node::{Node, Source};
use meshproof_model::scenario::{Outline, parse};

const FIRST: &str = include_str!("tests/first.md");
const LATER: &str = include_str!("tests/later.md");

const SCENARIO: &str = "title: t
document: {name: harbour, edition: 2025-03-07}
namespace: quay-one
steps:
- install: implementation
  cites: L12-20
  proves: [R10]
- pods: harbour-system
  become:
  - {prefix: pilot-, count: 2, ready: 2/2, restarts: 0}
  within: rollout
  cites: L23-32
  proves: [R12]
- apply: quay.yaml
  cites: L39-48
- apply: berth.yaml
  cites: L53-85
- status: gateway/berth
  becomes: berth-status.yaml
  within: programmed
  cites: L91-103
  proves: [R28]
- request: {gateway: berth, path: /ship, from: outside}
  becomes: {status: 200}
  within: 10s
  cites: L106
  proves: [R43]
- restart: deployment/pilot
  cites: L113
- delete: peerauthentication/default
  cites: L120
";

/// What its steps are called.
const NAMES: &[&str] = &[
    "install the implementation",
    "pods of harbour-system become 2 × pilot-… 2/2",
    "apply quay.yaml",
    "apply berth.yaml",
    "status of gateway/berth becomes berth-status.yaml",
    "http://<berth>/ship from outside becomes 200",
    "restart deployment/pilot in quay-one",
    "delete peerauthentication/default",
];

/// What a maintainer says of each fragment of the first edition: its first line, its name, its requirements.
const OURS: &[(&str, &str, &[&str])] = &[
    ("new-remark-at-8", "ships-come", &[]),
    ("new-remark-at-8-2", "berths-are-encrypted", &[]),
    ("new-remark-at-12", "build-lead", &[]),
    ("new-command-at-15", "build-variables", &[]),
    ("new-command-at-16", "show-harbour", &[]),
    ("new-command-at-18", "install-harbour", &["R10"]),
    ("new-promise-at-23", "two-pilots", &["R12"]),
    ("new-command-at-26", "pods-command", &["R12"]),
    ("new-output-at-29", "pods-output", &["R12"]),
    ("new-manifest-at-39", "quay-manifest", &[]),
    ("new-promise-at-48", "never-clear-text", &[]),
    ("new-manifest-at-53", "rented-berth", &[]),
    ("new-remark-at-72", "pay-lead", &[]),
    ("new-manifest-at-75", "owned-berth", &[]),
    ("new-promise-at-91", "berth-ready", &["R28"]),
    ("new-output-at-94", "berth-output", &["R28"]),
    ("new-promise-at-106", "ship-answers", &["R43"]),
    ("new-command-at-106", "ship-command", &["R43"]),
    ("new-promise-at-106-2", "then-503", &["R43"]),
    ("new-promise-at-108", "wooden-only", &["R7"]),
    ("new-remark-at-109", "anchors-free", &[]),
    ("new-promise-at-113", "wake-pilots", &[]),
    ("new-command-at-113", "wake-command", &[]),
    ("new-remark-at-115", "berth-naming", &[]),
    ("new-remark-at-117", "guard-lead", &[]),
    ("new-command-at-120", "guard-command", &[]),
];

const FILES: &[(&str, &str)] = &[
    ("quay.yaml", "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: quay-one\n"),
    (
        "berth.yaml",
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata:\n  name: berth\n  namespace: quay-one\n",
    ),
    (
        "berth-status.yaml",
        "status:\n  conditions:\n  - type: Accepted\n    message: This berth is ready for ships of any size.\n",
    ),
];

fn read(text: &str) -> (page::Page, Vec<Fragment>) {
    let page = page::read(text);
    let fragments = extract::fragments(&page);
    (page, fragments)
}

/// The first edition, as a maintainer would have it: with words of our own, requirements, and steps.
fn known() -> Known {
    let (page, fragments) = read(FIRST);
    let document = Document { name: "harbour".into(), edition: page.edition.unwrap_or_default() };
    let mut known = hints(&fragments, None, document).known;
    for fragment in &mut known.fragments {
        let (_, id, requirements) = OURS.iter().find(|(id, ..)| *id == fragment.id).unwrap();
        fragment.says = format!("what {} says in our words", id.replace('-', " "));
        fragment.id = (*id).to_owned();
        fragment.requirements = requirements.iter().map(|id| (*id).to_owned()).collect();
        fragment.waived =
            (*id == "build-variables" || *id == "show-harbour").then(|| "the cloud's own".into());
    }
    assert_eq!(known.fragments.len(), OURS.len());
    known
}

/// The scenario, whose steps are called as their words call themselves.
fn outline(document: Document) -> Outline {
    let path = PathBuf::from("scenarios/harbour/scenario.yaml");
    let source = Source { path: path.clone(), text: SCENARIO.to_owned() };
    let tree = parse::document(&Arc::new(source)).unwrap();
    let steps = tree.get("steps").unwrap().list().unwrap();
    assert_eq!(steps.len(), NAMES.len());
    let step = |(index, (step, name)): (usize, (&Node, &&str))| -> StepInfo {
        let proves = step.get("proves").map(Node::one_or_more).unwrap_or_default();
        let info = serde_json::json!({
            "index": index,
            "name": name,
            "word": "",
            "kind": StepKind::Claim,
            "cites": step.get("cites").map(|lines| lines.text().unwrap()),
            "proves": proves.iter().map(|id| id.text().unwrap()).collect::<Vec<_>>(),
            "line": step.span.position().0,
        });
        serde_json::from_value(info).unwrap()
    };
    let steps: Vec<_> = steps.iter().zip(NAMES).enumerate().map(step).collect();
    let proves = steps.iter().flat_map(|step| step.proves.clone()).collect();
    Outline { id: "harbour".into(), path, document, since: None, until: None, broken: false, proves, steps }
}

fn check(text: &str) -> Comparison {
    let catalogue = Catalogue::built_in().unwrap();
    let known = known();
    let scenarios = [outline(known.document.clone())];
    let world = World::new(&catalogue, &scenarios, &known.document);
    let file = |(name, text): &(&str, &str)| File {
        path: format!("scenarios/harbour/{name}"),
        text: (*text).to_owned(),
    };
    let files: Vec<_> = FILES.iter().map(file).collect();
    let (page, fragments) = read(text);
    compare(&page, &fragments, &known, &world, &files)
}

#[test]
fn a_step_that_cites_another_edition_stands_behind_what_is_said_likewise() {
    let catalogue = Catalogue::built_in().unwrap();
    let known = known();
    let scenarios = [outline(known.document.clone())];
    let mut later = known.clone();
    later.document.edition = "2030-01-01".into();
    let steps = |of: &Known, editions: &[Known]| -> Vec<usize> {
        let world = World::new(&catalogue, &scenarios, &of.document).with_editions(editions);
        of.fragments.iter().map(|fragment| world.cover(fragment).steps.len()).collect()
    };
    let own = steps(&known, &[]);
    assert!(own.iter().any(|steps| *steps > 0));
    assert!(steps(&later, &[]).iter().all(|steps| *steps == 0), "nothing cites the later edition");
    assert_eq!(steps(&later, std::slice::from_ref(&known)), own);
    // What says other values has nothing behind it.
    for fragment in later.fragments.iter_mut().filter(|fragment| !fragment.kind.is_prose()) {
        fragment.fingerprint = "0000000000000000".into();
    }
    let carried = steps(&later, std::slice::from_ref(&known));
    for (fragment, (carried, own)) in known.fragments.iter().zip(carried.into_iter().zip(own)) {
        assert_eq!(carried, if fragment.kind.is_prose() { own } else { 0 }, "{}", fragment.id);
    }
}

fn classes(comparison: &Comparison) -> Vec<(Class, Option<&str>)> {
    let all = comparison.fragments.iter().filter(|finding| finding.class != Class::Covered);
    all.map(|finding| (finding.class, finding.id.as_deref())).collect()
}

#[test]
fn a_page_comes_apart_into_fragments() {
    let (page, fragments) = read(FIRST);
    assert_eq!(page.edition.as_deref(), Some("2025-03-07"));
    let shown: Vec<String> = fragments
        .iter()
        .map(|f| {
            let facts: Vec<_> = f.facts.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let tab = f.place.tab.as_ref().map(|tab| format!(" [{tab}]")).unwrap_or_default();
            let place = format!("L{}-{} {}{tab}", f.place.line, f.place.end, f.place.section.join(" › "));
            format!("{} {place}: {}\n    {}", f.kind, f.excerpt, facts.join("; "))
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn the_same_edition_differs_in_nothing_but_what_is_not_proved_yet() {
    let comparison = check(FIRST);
    assert!(
        classes(&comparison).iter().all(|(class, _)| *class == Class::Uncovered),
        "{:?}",
        classes(&comparison)
    );
    insta::assert_snapshot!(report::text(&comparison, "first.md", false));
}

#[test]
fn line_ends_quotes_and_heading_levels_change_nothing() {
    let odd =
        FIRST.replace('\n', "\r\n").replace('\'', "\u{2019}").replace("#### ", "## ").replace("## ", "### ");
    assert_eq!(classes(&check(&odd)), classes(&check(FIRST)));
}

#[test]
fn a_page_without_fences_says_the_same() {
    let plain: String = FIRST
        .lines()
        .filter(|line| !line.trim_start().starts_with("```"))
        .map(|l| format!("{l}\n"))
        .collect();
    let (_, fragments) = read(&plain);
    let of = |kind: Kind| fragments.iter().filter(|f| f.kind == kind).count();
    assert_eq!((of(Kind::Manifest), of(Kind::Command), of(Kind::Output)), (3, 7, 2), "{fragments:#?}");
}

#[test]
fn a_later_edition_is_told_fragment_by_fragment() {
    let comparison = check(LATER);
    assert!(!comparison.covered);
    insta::assert_snapshot!(report::text(&comparison, "later.md", false));
}

#[test]
fn programs_get_the_same_as_json() {
    let comparison = check(LATER);
    let json = serde_json::to_value(&comparison).unwrap();
    let namespace =
        json["fragments"].as_array().unwrap().iter().find(|f| f["id"] == "quay-manifest").unwrap().clone();
    insta::assert_json_snapshot!(namespace);
    let values: Vec<_> =
        json["values"].as_array().unwrap().iter().map(|v| format!("{} {}", v["old"], v["new"])).collect();
    assert!(values.contains(&r#""quay-one" "quay-two""#.to_owned()), "{values:?}");
}

#[test]
fn hints_keep_what_is_ours_and_ask_for_the_rest() {
    let (_, fragments) = read(LATER);
    let document = Document { name: "harbour".into(), edition: "2026-11-02".into() };
    let hints = hints(&fragments, Some(&known()), document);
    let yaml = hints.to_yaml().unwrap();
    assert!(yaml.contains("says: what install harbour says in our words"), "{yaml}");
    let trouble = Known::parse(&yaml, &Catalogue::built_in().unwrap()).unwrap_err().to_string();
    assert!(trouble.contains("`says` is empty"), "{trouble}");
    let mut filled = hints.known;
    filled.fragments.iter_mut().for_each(|fragment| fragment.says = "ours".into());
    let text = meshproof_model::yaml::to_string(&filled).unwrap();
    assert_eq!(Known::parse(&text, &Catalogue::built_in().unwrap()).unwrap(), filled);
    for sentence in ["Ships come", "nobody has", "ready for ships"] {
        assert!(!text.contains(sentence), "the document's own text is kept: {text}");
    }
}

#[test]
fn data_that_cannot_be_right_is_refused() {
    let catalogue = Catalogue::built_in().unwrap();
    let trouble = |change: &dyn Fn(&mut Known)| {
        let mut known = known();
        change(&mut known);
        Known::parse(&meshproof_model::yaml::to_string(&known).unwrap(), &catalogue).unwrap_err().to_string()
    };
    assert!(
        trouble(&|k| k.fragments[3].requirements = vec!["R99".into()])
            .contains("there is no requirement R99")
    );
    assert!(trouble(&|k| k.fragments[3].errata = vec!["E7".into()]).contains("there is no erratum E7"));
    assert!(trouble(&|k| k.fragments[1].id = k.fragments[0].id.clone()).contains("is there twice"));
    let manifest = |k: &mut Known| {
        let manifest = k.fragments.iter_mut().find(|f| f.kind == Kind::Manifest).unwrap();
        manifest.facts.insert("metadata.name".into(), "other".into());
    };
    assert!(trouble(&manifest).contains("fingerprint"));
    assert!(Known::parse("a: [", &catalogue).is_err() && Known::parse("", &catalogue).is_err());
}

/// Lines that make a parser stumble, in any order.
fn lines() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("---"),
        Just("```bash"),
        Just("```yaml"),
        Just("~~~"),
        Just("```"),
        Just("# [T](#tab/x)"),
        Just("> [!NOTE]"),
        Just("kubectl apply -f - <<EOF"),
        Just("EOF"),
        Just("kind: Gateway"),
        Just("\tname: x"),
        Just("- a: &x [*x"),
        Just("status:"),
        Just("| NAME | A |"),
        Just("|---|---|"),
        Just("| a-6648c5d5c-sdd9t | `x"),
        Just("X=$(kubectl get"),
        Just("helm install \\"),
        Just("`kubectl get pods`. `x"),
        Just("v1.2.3 isn't 5."),
        Just("  - * 1. \u{E000}\u{E001}"),
        Just("a: !!binary {? [x] : y}"),
        Just("<<<EOF '\"$("),
        Just("$ curl -"),
        Just("::: zone"),
        Just("<br> &amp; <div"),
    ];
    let any = prop_oneof![4 => piece.prop_map(str::to_owned), 1 => any::<String>()];
    prop::collection::vec((any, prop_oneof![Just("\n"), Just("\r\n"), Just("\n\n"), Just("")]), 0..30)
        .prop_map(|all| all.into_iter().map(|(line, end)| line + end).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_is_too_odd(text in lines()) {
        let (page, fragments) = read(&text);
        let last = clean::clean(&text).matches('\n').count() + 1;
        for fragment in &fragments {
            prop_assert!((1..=last).contains(&fragment.place.line), "{fragment:?}");
            prop_assert!(fragment.place.line <= fragment.place.end, "{fragment:?}");
        }
        let known = known();
        let catalogue = Catalogue::built_in().unwrap();
        let world = World::new(&catalogue, &[], &known.document);
        let comparison = compare(&page, &fragments, &known, &world, &[]);
        let _ = report::text(&comparison, "x", true);
        let _ = hints(&fragments, Some(&known), known.document.clone()).to_yaml();
    }
}
