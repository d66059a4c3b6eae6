//! Answers that were given before. What a backend answers holds the id of the request, where the gateway gives it one: the same
//! id in two answers means that a backend gave only one of them, whatever both say.

use std::collections::HashSet;

use super::Answer;

/// The name under which a failure says that this spoke against the answers.
pub(crate) const REPLAYED: &str = "no-answer-twice";

/// The ids of the requests that answers were given to so far.
#[derive(Debug, Default)]
pub(crate) struct Answered(HashSet<String>);

impl Answered {
    /// What is wrong with this answer, if it was given before.
    pub(crate) fn again(&mut self, answer: &Answer) -> Option<String> {
        let id = answer.echo.as_ref()?.header("x-request-id")?;
        (!self.0.insert(id.to_owned())).then(|| {
            format!("the answer is {}, which was the answer to an earlier request ({id})", answer.summary())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::probe::{Echo, FailureKind};
    use meshproof_model::vantage::Vantage;

    fn answer(id: Option<&str>) -> Answer {
        let headers = id.map(|id| format!(r#""X-Request-Id": "{id}""#)).unwrap_or_default();
        let body = format!(r#"{{"pod": "backend-v1-5d9c7-x2x7f", "headers": {{{headers}}}}}"#);
        let none = Answer::failed(Vantage::Outside, FailureKind::Reset, "", Duration::ZERO);
        Answer { status: Some(200), failure: None, echo: Echo::parse(&body), ..none }
    }

    #[test]
    fn an_answer_is_given_to_one_request() {
        let mut answered = Answered::default();
        assert_eq!(answered.again(&answer(Some("a"))), None);
        assert_eq!(answered.again(&answer(Some("b"))), None);
        assert!(answered.again(&answer(Some("a"))).unwrap().contains("earlier request (a)"));
    }

    #[test]
    fn a_gateway_that_gives_no_ids_is_not_suspected() {
        let mut answered = Answered::default();
        assert_eq!((answered.again(&answer(None)), answered.again(&answer(None))), (None, None));
    }
}
