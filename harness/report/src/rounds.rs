//! Scenarios that were repeated: does it hold every time?

use super::text;
use meshproof_model::event::{ScenarioResult, Verdict};

/// What the repetitions of each scenario came to, in the order they first ran.
#[derive(Debug, Default)]
pub(super) struct Rounds(Vec<(String, Vec<Round>)>);

#[derive(Debug)]
struct Round {
    number: u32,
    verdict: Verdict,
    duration_ms: u64,
    /// Number and name of the step that decided a verdict other than proved.
    culprit: Option<(usize, String)>,
}

impl Rounds {
    /// Takes notice of a scenario that ended; one that runs once is none of its business.
    pub(super) fn add(&mut self, result: &ScenarioResult) {
        let Some(number) = result.round else { return };
        let culprit = result.culprit().map(|step| (step.info.index + 1, step.info.name.clone()));
        let round = Round { number, verdict: result.verdict, duration_ms: result.duration_ms, culprit };
        match self.0.iter_mut().find(|(id, _)| *id == result.id) {
            Some((_, rounds)) => rounds.push(round),
            None => self.0.push((result.id.clone(), vec![round])),
        }
    }

    /// A line for each scenario, and one below it for each round that was not proved.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (id, rounds) in &self.0 {
            let proved = rounds.iter().filter(|round| round.verdict == Verdict::Proved).count();
            let mut times: Vec<u64> = rounds.iter().map(|round| round.duration_ms).collect();
            times.sort_unstable();
            let at = |index: usize| text::duration(times.get(index).copied().unwrap_or_default());
            lines.push(format!(
                "{id}: {proved} of {} proved, {} to {}, median {}",
                text::count(rounds.len(), "round"),
                at(0),
                at(times.len().saturating_sub(1)),
                at(times.len() / 2),
            ));
            for Round { number, verdict, culprit, .. } in rounds {
                match culprit {
                    Some((step, name)) => {
                        lines.push(format!("  round {number} {verdict} at step {step}: {name}"))
                    }
                    None if *verdict != Verdict::Proved => lines.push(format!("  round {number} {verdict}")),
                    None => {}
                }
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn each_round_that_was_not_proved_is_named() {
        let mut rounds = Rounds::default();
        rounds.add(&sample::proved());
        for (number, result) in [(1, sample::proved()), (2, sample::failed()), (3, sample::proved())] {
            let id = "service-mesh-integration".into();
            rounds.add(&ScenarioResult { id, round: Some(number), ..result });
        }
        insta::assert_snapshot!(rounds.lines().join("\n"), @r"
        service-mesh-integration: 2 of 3 rounds proved, 12.5 s to 12.5 s, median 12.5 s
          round 2 failed at step 5: request / of gateway-01 from outside becomes 503, stays for 20 requests
        ");
    }
}
