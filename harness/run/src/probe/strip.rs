//! Answers over time, and what an answer itself tells: who gave it, and why.

use super::{Answer, deployment_of};
use meshproof_model::event::{AnswerGroup, Hop, Stretch};

/// Answers over time: equal ones in a row become one [`Stretch`].
#[derive(Debug, Default, Clone)]
pub struct Strip(Vec<Stretch>);

impl Strip {
    /// Adds the answer to a request that started at `at_ms`; requests come in the order they started.
    pub fn add(&mut self, at_ms: u64, answer: &Answer) {
        let (hop, answers) = (hop(answer), AnswerGroup { reason: own_word(answer), ..group(answer) });
        match self.0.last_mut() {
            Some(last) if last.hop == hop && is_same(&last.answers, &answers) => {
                last.until_ms = at_ms;
                last.answers.count += 1;
            }
            _ => self.0.push(Stretch { at_ms, until_ms: at_ms, hop, answers }),
        }
    }

    /// Every stretch.
    pub fn stretches(self) -> Vec<Stretch> {
        self.0
    }
}

/// One answer as a group, without a reason. One that was cut off is a failure like the others.
pub fn group(answer: &Answer) -> AnswerGroup {
    AnswerGroup {
        status: answer.complete(),
        failure: answer.failure.as_ref().map(|failure| failure.kind.to_string()),
        backend: answer.pod().map(|pod| deployment_of(pod).unwrap_or(pod).to_owned()),
        reason: None,
        count: 1,
    }
}

/// Equal but for the count.
fn is_same(one: &AnswerGroup, other: &AnswerGroup) -> bool {
    (one.status, &one.failure, &one.backend, &one.reason)
        == (other.status, &other.failure, &other.backend, &other.reason)
}

/// Who ended the exchange, as far as the answer itself tells: Envoy names itself in `server`, an echo names its pod.
pub fn hop(answer: &Answer) -> Hop {
    let by_envoy = || answer.headers.get("server").is_some_and(|server| server.contains("envoy"));
    match answer.complete() {
        None => Hop::Connection,
        Some(_) if answer.echo.is_some() => Hop::Backend,
        Some(_) if by_envoy() => Hop::Sidecar,
        Some(_) => Hop::Gateway,
    }
}

/// Why, in the one word the answer gives: the gateway's own, which is the first line of an error's body, or how the
/// connection failed.
/// Nothing for an answer of a backend.
pub fn own_word(answer: &Answer) -> Option<String> {
    let is_word = |text: &&str| !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    match (&answer.failure, &answer.echo) {
        (Some(failure), _) => Some(failure.kind.to_string()),
        (None, Some(_)) => None,
        // What a page says that is no error's is not about why.
        (None, None) if answer.status.is_some_and(|status| status < 400) => None,
        (None, None) => answer.body.lines().next().filter(is_word).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::probe::{Echo, FailureKind};
    use meshproof_model::vantage::Vantage;

    fn broken() -> Answer {
        Answer::failed(Vantage::Outside, FailureKind::Reset, "connection reset by peer", Duration::ZERO)
    }

    fn error_page(body: &str) -> Answer {
        Answer { failure: None, status: Some(503), body: body.into(), ..broken() }
    }

    fn echo(pod: &str) -> Answer {
        let echo = Echo { pod: pod.into(), ..Echo::default() };
        Answer { failure: None, status: Some(200), echo: Some(echo), ..broken() }
    }

    #[test]
    fn equal_answers_in_a_row_are_one_stretch() {
        let mut strip = Strip::default();
        let answers = [
            echo("backend-v1-5d9c7b6f4-x2x7f"),
            echo("backend-v1-5d9c7b6f4-qqqqq"),
            error_page("no_endpoint\nthe Service has no endpoint\n"),
            broken(),
            echo("backend-v1-5d9c7b6f4-x2x7f"),
        ];
        for (number, answer) in (0..).zip(&answers) {
            strip.add(number * 10, answer);
        }
        let seen: Vec<_> = strip
            .stretches()
            .into_iter()
            .map(|s| (s.at_ms, s.until_ms, s.hop, s.answers.reason, s.answers.count))
            .collect();
        assert_eq!(
            seen,
            [
                (0, 10, Hop::Backend, None, 2),
                (20, 20, Hop::Gateway, Some("no_endpoint".into()), 1),
                (30, 30, Hop::Connection, Some("reset".into()), 1),
                (40, 40, Hop::Backend, None, 1),
            ]
        );
    }

    #[test]
    fn a_page_of_somebody_else_gives_no_word() {
        assert_eq!(own_word(&error_page("<html>503 Service Temporarily Unavailable</html>")), None);
        assert_eq!(own_word(&error_page("")), None);
        assert_eq!(own_word(&Answer { status: Some(200), ..error_page("welcome") }), None);
    }

    #[test]
    fn an_answer_that_was_cut_off_counts_as_the_failure_it_is() {
        let cut_off = Answer { failure: broken().failure, ..echo("backend-v1-5d9c7b6f4-x2x7f") };
        let seen = group(&cut_off);
        assert_eq!((seen.status, seen.failure.as_deref()), (None, Some("reset")));
        assert_eq!((hop(&cut_off), own_word(&cut_off).as_deref()), (Hop::Connection, Some("reset")));
    }

    #[test]
    fn a_sidecar_names_itself() {
        let mut answer = error_page("upstream connect error or disconnect/reset before headers");
        answer.headers.insert("server".into(), "istio-envoy".into());
        assert_eq!(hop(&answer), Hop::Sidecar);
    }
}
