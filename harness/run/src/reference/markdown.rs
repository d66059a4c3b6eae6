//! The reference of all words, as Markdown.

use std::fmt::Write as _;

use super::says;
use crate::diagnosis;
use crate::scenario::vocabulary::{WITNESSES, WORDS};
use crate::word::{Definition, Staying};
use meshproof_model::diagnoses;
use meshproof_model::event::StepKind;
use meshproof_model::implementation::PLACEHOLDERS;
use meshproof_model::scenario::head;
use meshproof_model::scenario::limits::NAMED;
use meshproof_model::schema::Field;

const INTRODUCTION: &str = "\
# The vocabulary of scenarios

Made from the words' own definitions; a test holds it to them (see CONTRIBUTING.md for how to write it anew). The same is in
`schemas/` as JSON Schema, for editors.

A scenario is a folder with a `scenario.yaml`. Each of its steps has exactly one word: an *action*, which changes something, or a
*claim*, which says what becomes of it within a time limit, and perhaps that it stays so.

";

const DIAGNOSIS: &str = "\
```yaml
diagnoses:
- id: cache-full
  title: The sample's cache is full
  when:
  - answer: {status: 503}
  - log: {pod: \"api-*\", container: api, matches: \"cache is full\"}
  - object: {of: configmap/api, field: data.entries, is: \"100\"}
  because: It takes as many entries as its ConfigMap says.
  next: raise `entries` in ConfigMap api, and restart its Deployment
```

";

/// `docs/vocabulary.md`.
pub fn vocabulary() -> String {
    let mut out = INTRODUCTION.to_owned();
    out += "## scenario.yaml\n\n";
    out += &table(head::FIELDS);
    for field in head::FIELDS {
        out += &nested(field.name, field);
    }
    out += "## Every step\n\n";
    out += &table(head::STEP);
    out += "Every claim, besides:\n\n";
    let within = Field::needed(
        head::WITHIN,
        head::LIMIT,
        "Time limit; an action has one of its own, and may be given another.",
    );
    let claim: Vec<Field> = [within].into_iter().chain(head::CLAIM.iter().copied()).collect();
    out += &table(&claim);
    out += "A claim with `becomes` or `become` may have to fail: `must-fail: {diagnosis: …, sees: …}` names why, and what is seen in \
            the place of what it says.\n\n";
    limits(&mut out);
    out += "## Words\n\n";
    for (kind, title) in [(StepKind::Action, "Actions"), (StepKind::Claim, "Claims")] {
        let _ = writeln!(out, "{title}: {}.\n", list(kind));
    }
    let mut words = WORDS.to_vec();
    words.sort_by_key(|definition| (definition.kind != StepKind::Action, definition.word));
    for definition in words {
        word(&mut out, definition);
    }
    out += "## Witnesses\n\nA claim about answers may name witnesses: evidence that is not the gateway's word.\n\n\
            | witness | what it bears out |\n|---|---|\n";
    for (name, about) in WITNESSES {
        let _ = writeln!(out, "| `{name}` | {} |", escaped(about));
    }
    let mut causes: Vec<&str> = diagnosis::causes().collect();
    causes.sort_unstable();
    causes.dedup();
    let causes: Vec<_> = causes.iter().map(|cause| format!("`{cause}`")).collect();
    let _ =
        write!(out, "\n## Diagnoses\n\nWhat `must-fail` and `expects` may name: {}.\n\n", causes.join(", "));
    out += "A pack (`diagnoses` in `pack.yaml`, or a file that this names) and the file of a gateway may know causes of their own. They \
            are looked for first, in their order; each is recognised where all is seen that `when` names.\n\n";
    out += &table(diagnoses::FIELDS);
    for field in diagnoses::FIELDS {
        out += &nested(field.name, field);
    }
    out += DIAGNOSIS;
    let placeholders: Vec<_> = PLACEHOLDERS.split(", ").map(|name| format!("`${{{name}}}`")).collect();
    let _ = write!(
        out,
        "## Placeholders\n\nTexts of scenarios, their manifests and expected statuses may hold: {}.\n",
        placeholders.join(", ")
    );
    out
}

fn list(kind: StepKind) -> String {
    let mut words: Vec<_> = WORDS.iter().filter(|word| word.kind == kind).map(|word| word.word).collect();
    words.sort_unstable();
    words.iter().map(|word| format!("[`{word}`](#{word})")).collect::<Vec<_>>().join(", ")
}

fn limits(out: &mut String) {
    *out += "## Time limits\n\nA limit is a duration (`500ms`, `30s`, `2m`, `1m 30s`) or has a name:\n\n| name | seconds |\n|---|---|\n";
    for (name, limit) in NAMED {
        let _ = writeln!(out, "| `{name}` | {} |", limit.as_secs());
    }
    *out += "\nHow long a claim stays is a duration, for claims that send requests `20 requests` or `2x drain` as well: so many times as \
             long as the mesh's proxies keep connections whose configuration has changed.\n\n";
}

fn word(out: &mut String, definition: &Definition) {
    let said = &definition.reference;
    let kind = match definition.kind {
        StepKind::Action => "Action",
        StepKind::Claim => "Claim",
    };
    let _ = write!(out, "### {}\n\n{kind}. {}\n\n", definition.word, said.summary);
    let subject = Field::needed(definition.word, said.subject, "");
    let _ = write!(out, "`{}:` {}.", definition.word, said.subject.in_words());
    if let Some(limit) = definition.limit {
        let _ = write!(out, " Time limit if none is given: {} s.", limit.as_secs());
    }
    *out += match definition.stays {
        Staying::No => "",
        Staying::Time => " May be asked to stay, for a time.",
        Staying::Requests => " May be asked to stay, for requests or a time.",
    };
    if definition.witnesses {
        *out += " May name witnesses.";
    }
    if says(definition).is_some() {
        *out += " May have to fail.";
    }
    *out += "\n\n";
    *out += &nested(definition.word, &subject);
    if !said.fields.is_empty() {
        *out += &table(said.fields);
        for field in said.fields {
            *out += &nested(field.name, field);
        }
    }
    for example in said.examples {
        let step: Vec<_> = example
            .lines()
            .enumerate()
            .map(|(at, line)| format!("{}{line}\n", if at == 0 { "- " } else { "  " }))
            .collect();
        let _ = write!(out, "```yaml\n{}```\n\n", step.concat());
    }
}

/// Tables of the mappings that a field is made of.
fn nested(name: &str, field: &Field) -> String {
    let mut out = String::new();
    for fields in field.takes.maps() {
        let _ = write!(out, "In `{name}`:\n\n{}", table(fields));
        for inner in fields {
            out += &nested(inner.name, inner);
        }
    }
    out
}

fn table(fields: &[Field]) -> String {
    let mut out = "| key | takes | | |\n|---|---|---|---|\n".to_owned();
    for field in fields {
        let (takes, presence) = (field.takes.in_words(), field.presence_in_words());
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} |",
            field.name,
            escaped(&takes),
            escaped(&presence),
            escaped(field.about)
        );
    }
    out + "\n"
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}
