//! The normalised record of a scenario: the snapshot people review in pull requests.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::{
    normalise::{normalise, normalise_value},
    text,
};
use meshproof_model::event::{Instead, ScenarioResult, StepKind, StepResult, Testimony, Verdict};
use meshproof_model::{visible, yaml};

#[derive(Serialize)]
struct Transcript<'a> {
    scenario: &'a str,
    title: &'a str,
    document: &'a str,
    verdict: Verdict,
    requirements: BTreeMap<Id<'a>, Verdict>,
    /// Requirements the implementation does not promise, or that are proved in part only, with the reasons.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    waived: BTreeMap<Id<'a>, &'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    errata: BTreeMap<Id<'a>, &'a str>,
    /// The smallest change to the document's text for each.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    corrections: BTreeMap<Id<'a>, &'a str>,
    steps: Vec<Step<'a>>,
}

/// An id that sorts as people count: R9 before R10.
#[derive(Clone, Copy, Serialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(into = "String")]
struct Id<'a> {
    prefix: &'a str,
    number: Option<u32>,
}

impl<'a> From<&'a str> for Id<'a> {
    fn from(id: &'a str) -> Self {
        let digits = id.trim_start_matches(|c: char| !c.is_ascii_digit());
        match digits.parse() {
            Ok(number) => Self { prefix: &id[..id.len() - digits.len()], number: Some(number) },
            Err(_) => Self { prefix: id, number: None },
        }
    }
}

impl From<Id<'_>> for String {
    fn from(id: Id<'_>) -> Self {
        id.number.map_or_else(|| id.prefix.to_string(), |number| format!("{}{number}", id.prefix))
    }
}

#[derive(Serialize)]
struct Step<'a> {
    /// The action, or the claim: the key says which.
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claim: Option<&'a str>,
    verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    cites: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    proves: Vec<Id<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    waives: Vec<Id<'a>>,
    /// What a claim that must fail has to see instead.
    #[serde(rename = "must-see", skip_serializing_if = "Option::is_none")]
    must_see: Option<&'a str>,
    /// Requirements it would prove, were it not read otherwise for the implementation.
    #[serde(rename = "sets-aside", skip_serializing_if = "Vec::is_empty")]
    sets_aside: Vec<Id<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errata: Vec<Id<'a>>,
    /// What the scenario says, where the implementation is asked for something else, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    instead: Option<&'a Instead>,
    #[serde(skip_serializing_if = "String::is_empty")]
    saw: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    answers: Vec<String>,
    #[serde(skip_serializing_if = "says_nothing")]
    detail: Value,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    witnesses: Vec<Witness<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failure<'a>>,
}

#[derive(Serialize)]
struct Witness<'a> {
    witness: &'a str,
    held: bool,
    saw: String,
}

#[derive(Serialize)]
struct Failure<'a> {
    expected: String,
    seen: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    diagnosis: Option<&'a str>,
}

/// The transcript of a scenario, as YAML. Equal for runs that behaved equally: no addresses, generated
/// names, times or counts of attempts are in it.
pub fn transcript(result: &ScenarioResult) -> String {
    let result = &match visible::of(result) {
        Ok(result) => result,
        Err(error) => return format!("# transcript could not be written: {error}\n"),
    };
    let corrections =
        result.errata.iter().filter_map(|e| Some((Id::from(e.id.as_str()), e.correction.as_deref()?)));
    let transcript = Transcript {
        scenario: &result.id,
        title: &result.title,
        document: &result.document,
        verdict: result.verdict,
        requirements: result.requirements.iter().map(|r| (Id::from(r.id.as_str()), r.verdict)).collect(),
        waived: result
            .requirements
            .iter()
            .filter_map(|r| Some((Id::from(r.id.as_str()), r.waived.as_deref()?)))
            .collect(),
        errata: result.errata.iter().map(|e| (Id::from(e.id.as_str()), e.problem.as_str())).collect(),
        corrections: corrections.collect(),
        steps: result.steps.iter().map(step).collect(),
    };
    // Every key is a string: there is nothing YAML could refuse.
    yaml::to_string(&transcript)
        .unwrap_or_else(|error| format!("# transcript could not be written: {error}\n"))
}

fn step(result: &StepResult) -> Step<'_> {
    let observed = &result.observed;
    let name = Some(result.info.name.as_str());
    let (action, claim) = match result.info.kind {
        StepKind::Action => (name, None),
        StepKind::Claim => (None, name),
    };
    let settled = result.telling_answers();
    Step {
        action,
        claim,
        verdict: result.verdict,
        cites: result.info.cites.as_deref(),
        proves: result.info.proves.iter().map(|id| Id::from(id.as_str())).collect(),
        waives: result.info.waives.iter().map(|id| Id::from(id.as_str())).collect(),
        must_see: result.info.must_fail.as_ref().map(|must_fail| must_fail.sees.as_str()),
        sets_aside: result.info.sets_aside.iter().map(|id| Id::from(id.as_str())).collect(),
        errata: result.info.errata.iter().map(|id| Id::from(id.as_str())).collect(),
        instead: result.info.instead.as_ref(),
        // What answered is listed below, without the numbers a summary holds.
        saw: if settled.is_empty() { normalise(&observed.summary) } else { String::new() },
        answers: settled.iter().map(|group| normalise(&text::answer(group))).collect(),
        detail: normalise_value(&observed.detail),
        witnesses: observed.witnesses.iter().map(witness).collect(),
        failure: result.failure.as_ref().map(|failure| Failure {
            expected: normalise(&failure.expected),
            seen: normalise(&failure.seen),
            diagnosis: failure.diagnosis.as_ref().map(|diagnosis| diagnosis.id.as_str()),
        }),
    }
}

fn witness(testimony: &Testimony) -> Witness<'_> {
    Witness { witness: &testimony.witness, held: testimony.held, saw: normalise(&testimony.summary) }
}

/// Whether nothing is left of a step's detail: all of it was measured, perhaps.
fn says_nothing(detail: &Value) -> bool {
    detail.is_null() || detail.as_object().is_some_and(serde_json::Map::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn a_detail_of_which_everything_was_measured_says_nothing() {
        let detail = |text: &str| normalise_value(&serde_json::from_str(text).unwrap());
        assert!(says_nothing(&detail(r#"{"measured": {"node": "a-worker"}}"#)));
        assert!(says_nothing(&Value::Null) && !says_nothing(&detail(r#"{"rotations": 5}"#)));
    }

    #[test]
    fn a_proved_scenario_reads_like_the_document() {
        insta::assert_snapshot!(transcript(&sample::proved()));
    }

    #[test]
    fn what_is_waived_or_expected_otherwise_is_told_with_the_reason() {
        insta::assert_snapshot!(transcript(&sample::waived()));
    }

    #[test]
    fn the_smallest_correction_of_each_erratum_is_told() {
        let mut result = sample::proved();
        result.errata[0].correction = Some("Create the Gateway in test-infra.".into());
        let told = transcript(&result);
        assert!(told.contains("corrections:\n  E1: Create the Gateway in test-infra.\n"), "{told}");
    }

    #[test]
    fn a_failed_scenario_names_its_diagnosis() {
        insta::assert_snapshot!(transcript(&sample::failed()));
    }

    #[test]
    fn another_run_with_other_names_and_times_has_the_same_transcript() {
        let first = sample::proved();
        let json = serde_json::to_string(&first)
            .unwrap()
            .replace("6c8f9d7b54-q2w8z", "79b5cc4d6f-h4xzw")
            .replace("172.18.255.200", "172.19.255.201")
            .replace("fe-7k2m9x4q", "fe-00aa11bb")
            .replace("214", "377");
        let mut second: ScenarioResult = serde_json::from_str(&json).unwrap();
        for step in &mut second.steps {
            step.duration_ms += 17;
            step.started_ms += 40;
            step.observed.answers.iter_mut().for_each(|group| group.count += 3);
        }
        assert_eq!(transcript(&first), transcript(&second));
    }

    #[test]
    fn a_claim_that_holds_whichever_answers_there_are_tells_none_of_them() {
        let told = |failed: bool| {
            let mut result = sample::proved();
            let step = result.steps.iter_mut().find(|step| !step.observed.settled.is_empty()).unwrap();
            step.observed.answers = std::mem::take(&mut step.observed.settled);
            step.observed.summary = "anything but 404".to_owned();
            if failed {
                step.failure = sample::failed().steps.into_iter().find_map(|step| step.failure);
            }
            transcript(&result)
        };
        let held = told(false);
        assert!(held.contains("saw: anything but 404"), "{held}");
        assert!(
            !told(true).contains("saw: anything but 404"),
            "what was answered instead is what a reader needs"
        );
    }

    #[test]
    fn ids_sort_as_people_count() {
        assert!(Id::from("R9") < Id::from("R10"));
        assert_eq!(String::from(Id::from("E10")), "E10");
        assert_eq!(String::from(Id::from("other")), "other");
    }
}
