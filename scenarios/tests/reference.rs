//! The reference of all words and the JSON Schemas are those of the words' definitions, and these say what the words read.

#[path = "reference/keys.rs"]
mod keys;
#[path = "reference/wrong.rs"]
mod wrong;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, ensure};
use boon::{CompileError, Compiler, Draft, Schemas};
use meshproof_model::scenario::node::Source;
use meshproof_model::scenario::parse;
use meshproof_run::reference;
use meshproof_run::scenario::vocabulary::WORDS;
use rstest::rstest;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The file holds this text. `INSTA_UPDATE=always` writes it, as it does snapshots.
fn is_kept(file: &str, text: &str) -> Result<()> {
    let path = root().join(file);
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        std::fs::create_dir_all(path.parent().context("no folder")?)?;
        std::fs::write(&path, text)?;
    }
    let kept = std::fs::read_to_string(&path).with_context(|| format!("reading {file}"))?;
    let differs = || {
        let line = kept.lines().zip(text.lines()).position(|(kept, made)| kept != made);
        let line = line.unwrap_or_else(|| kept.lines().count().min(text.lines().count())) + 1;
        format!(
            "{file} is not what the words' definitions say, from its line {line} on. Write it anew: \
             INSTA_UPDATE=always cargo test -p meshproof-scenarios --test reference"
        )
    };
    ensure!(kept == text, differs());
    Ok(())
}

fn pretty(schema: &Value) -> Result<String> {
    Ok(serde_json::to_string_pretty(schema)? + "\n")
}

#[test]
fn the_reference_and_the_schemas_are_those_of_the_definitions() -> Result<()> {
    is_kept("docs/vocabulary.md", &reference::vocabulary())?;
    is_kept("schemas/scenario.schema.json", &pretty(&reference::scenario())?)?;
    is_kept("schemas/pack.schema.json", &pretty(&reference::pack())?)?;
    is_kept("schemas/implementation.schema.json", &pretty(&reference::implementation())?)
}

/// What the schema says against a text; nothing if it has nothing to say. A schema that is none is an error.
fn against(schema: &Value, path: &Path, text: String) -> Result<Option<String>> {
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.set_default_draft(Draft::V2020_12);
    let wrong = |error: CompileError| anyhow!("it is no schema: {error:#}");
    compiler.add_resource("schema.json", schema.clone()).map_err(wrong)?;
    let compiled = compiler.compile("schema.json", &mut schemas).map_err(wrong)?;
    let value = parse::document(&Arc::new(Source { path: path.to_owned(), text }))?.value();
    Ok(schemas.validate(&value, compiled).err().map(|error| format!("{error:#}")))
}

#[rstest]
fn every_scenario_is_what_the_schema_says(#[files("**/scenario.yaml")] file: PathBuf) -> Result<()> {
    let wrong = against(&reference::scenario(), &file, std::fs::read_to_string(&file)?)?;
    assert_eq!(wrong, None, "{}", file.display());
    Ok(())
}

#[test]
fn the_pack_is_what_the_schema_says() -> Result<()> {
    let file = root().join("scenarios/pack.yaml");
    assert_eq!(against(&reference::pack(), &file, std::fs::read_to_string(&file)?)?, None);
    Ok(())
}

#[rstest]
fn every_implementation_is_what_the_schema_says(
    #[files("../implementations/*.yaml")] file: PathBuf,
) -> Result<()> {
    let wrong = against(&reference::implementation(), &file, std::fs::read_to_string(&file)?)?;
    assert_eq!(wrong, None, "{}", file.display());
    Ok(())
}

/// A word is one file, called like it.
#[test]
fn each_word_has_a_file_of_its_name() {
    for definition in WORDS {
        let name = format!("{}.rs", definition.word.replace('-', "_"));
        let folders =
            ["action", "claim"].map(|folder| root().join("harness/run/src").join(folder).join(&name));
        let found = folders.iter().filter_map(|path| std::fs::read_to_string(path).ok());
        let says = format!("\"{}\"", definition.word);
        let own = |text: &String| text.contains("pub const WORD: Definition") && text.contains(&says);
        assert!(found.into_iter().any(|text| own(&text)), "`{}` is in no file {name}", definition.word);
    }
}
