use std::path::Path;

use super::*;
use crate::workspace;

const PACK: &str = "name: shop\nabout: A shop.\neditions: [2025-01-01, 2026-01-01, 2027-01-01]\n";
const REQUIREMENTS: &str =
    "document: {name: shop, edition: 2026-01-01}\nrequirements:\n- {id: R1, text: It answers.}\n";

fn read(pack: &str, requirements: &str) -> Result<Pack, String> {
    let read = |path: &Path| match path.file_name().and_then(|name| name.to_str()) {
        Some(FILE) => Ok(pack.to_owned()),
        Some("requirements.yaml") => Ok(requirements.to_owned()),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    Pack::read(Path::new("p"), &read).map_err(|problems| problems.to_string())
}

#[test]
fn what_a_pack_does_not_say_is_as_usual() {
    let pack = read(PACK, REQUIREMENTS).unwrap();
    assert_eq!((pack.name.as_str(), pack.about.as_str()), ("shop", "A shop."));
    assert_eq!(pack.scenarios, Path::new("p/scenarios"));
    assert_eq!(pack.catalogue.requirements.len(), 1);
    assert_eq!(pack.place("R1").unwrap().position(), (3, 8));
    let pack = read(&format!("{PACK}scenarios: .\n"), REQUIREMENTS).unwrap();
    assert_eq!(pack.scenarios, Path::new("p"));
}

#[test]
fn what_is_wrong_with_a_pack_has_its_place() {
    for (pack, requirements, wanted) in [
        ("name: Shop", REQUIREMENTS, "p/pack.yaml:1:7: `Shop` is no name of a pack"),
        ("name: shop\nabout: ''", REQUIREMENTS, "p/pack.yaml:2:8: `about` says nothing"),
        (&format!("{PACK}requirments: r.yaml\n"), REQUIREMENTS, "p/pack.yaml:4:1: unknown key `requirments`"),
        (
            &format!("{PACK}requirements: r.yaml\n"),
            REQUIREMENTS,
            "p/pack.yaml:4:15: p/r.yaml:1:1: cannot be read",
        ),
        (&PACK.replace("2026-01-01, ", ""), REQUIREMENTS, "there is no edition 2026-01-01 of shop"),
        (&PACK.replace("2027", "2025"), REQUIREMENTS, "edition 2025-01-01 is there twice"),
        (PACK, &REQUIREMENTS.replace("text", "txt"), "p/requirements.yaml:3:"),
        (
            PACK,
            &format!("{REQUIREMENTS}- {{id: R1, text: b}}\n"),
            "p/requirements.yaml:4:8: R1 is there twice",
        ),
        (
            PACK,
            &format!("{REQUIREMENTS}- {{id: R2, text: b, since: 2024-01-01}}\n"),
            "p/requirements.yaml:4:8: R2: there is no edition 2024-01-01",
        ),
        (
            PACK,
            &format!("{REQUIREMENTS}- {{id: R2, text: b, since: 2026-01-01, until: 2025-01-01}}\n"),
            "p/requirements.yaml:4:8: R2 holds in no edition at all",
        ),
    ] {
        let error = read(pack, requirements).unwrap_err();
        assert!(error.contains(wanted), "{wanted}: {error}");
    }
}

#[test]
fn a_requirement_holds_from_edition_to_edition() {
    let with = |more: &str| {
        let pack = read(PACK, &REQUIREMENTS.replace("It answers.", &format!("It answers.{more}"))).unwrap();
        let requirement = pack.catalogue.requirements[0].clone();
        pack.editions.iter().map(|edition| pack.holds_in(requirement.editions(), edition)).collect::<Vec<_>>()
    };
    assert_eq!(with(""), [true, true, true]);
    assert_eq!(with(", since: 2026-01-01"), [false, true, true]);
    assert_eq!(with(", until: 2026-01-01"), [true, true, false]);
    assert_eq!(with(", since: 2026-01-01, until: 2026-01-01"), [false, true, false]);
    let pack = read(PACK, REQUIREMENTS).unwrap();
    assert!(
        !pack.holds_in(pack.catalogue.requirements[0].editions(), "2030-01-01"),
        "an edition that nobody knows"
    );
}

#[test]
fn an_edition_that_is_not_there_is_told_with_the_nearest() {
    let pack = read(PACK, REQUIREMENTS).unwrap();
    assert_eq!(pack.edition("2026-01-01"), Ok("2026-01-01"));
    for (asked, nearest) in [
        ("2026-01-02", "2026-01-01"),
        ("2026-11-30", "2026-01-01"),
        ("2020-05-05", "2025-01-01"),
        ("new", "2027-01-01"),
    ] {
        let error = pack.edition(asked).unwrap_err();
        assert!(error.contains(&format!("the nearest is {nearest} ")), "{asked}: {error}");
    }
}

#[test]
fn what_is_told_of_an_edition_is_what_it_says() {
    let more = "- {id: R2, text: b, until: 2025-01-01}\n- {id: R3, text: c, since: 2027-01-01}\n";
    let pack = read(PACK, &format!("{REQUIREMENTS}{more}")).unwrap();
    let ids = |edition| pack.info(edition).requirements.into_iter().map(|r| r.id).collect::<Vec<_>>();
    assert_eq!(ids(None), ["R1", "R2", "R3"]);
    assert_eq!(ids(Some("2025-01-01")), ["R1", "R2"]);
    assert_eq!(ids(Some("2027-01-01")), ["R1", "R3"]);
    let erratum = "errata:\n- {id: E1, problem: a, literal: b, until: 2024-01-01}\n";
    let error = read(PACK, &format!("{REQUIREMENTS}{erratum}")).unwrap_err();
    assert!(error.contains("E1: there is no edition 2024-01-01"), "{error}");
}

#[test]
fn what_is_compiled_in_is_what_lies_in_the_folder() {
    let root = workspace::root().unwrap().join(FOLDER);
    let (built_in, loaded) = (Pack::built_in(&root).unwrap(), Pack::load(&root).unwrap());
    assert_eq!((&built_in.name, &built_in.catalogue), (&loaded.name, &loaded.catalogue));
    assert_eq!(loaded.scenarios, root);
    assert!(loaded.editions.contains(&loaded.catalogue.document.edition));
}

#[test]
fn the_pack_at_hand_is_the_nearest_one() {
    let root = tempfile::tempdir().unwrap();
    let deep = root.path().join("own/scenarios/a");
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::create_dir(root.path().join(FOLDER)).unwrap();
    let outer = root.path().join(FOLDER);
    std::fs::write(outer.join(FILE), "").unwrap();
    assert_eq!(Pack::at_hand(&deep), Some(outer));
    std::fs::write(root.path().join("own").join(FILE), "").unwrap();
    assert_eq!(Pack::at_hand(&deep), Some(root.path().join("own")));
}

#[test]
fn a_folder_without_a_pack_says_so() {
    let root = tempfile::tempdir().unwrap();
    let error = Pack::load(root.path()).unwrap_err();
    assert!(error.to_string().contains("pack.yaml:1:1: cannot be read"), "{error}");
}
