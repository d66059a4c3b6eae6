//! Counting equal answers.

use crate::event::AnswerGroup;
use crate::probe::Answer;
use crate::probe::strip::group;

/// Answers, counted by status, failure and backend in order of first appearance.
#[derive(Debug, Default, Clone)]
pub struct Tally(Vec<AnswerGroup>);

impl Tally {
    /// Counts an answer.
    pub fn count(&mut self, answer: &Answer) {
        let group = group(answer);
        let same = |known: &&mut AnswerGroup| {
            (known.status, &known.failure, &known.backend) == (group.status, &group.failure, &group.backend)
        };
        match self.0.iter_mut().find(same) {
            Some(known) => known.count += 1,
            None => self.0.push(group),
        }
    }

    /// How many in all.
    pub fn total(&self) -> usize {
        self.0.iter().map(|group| group.count).sum()
    }

    /// Every group.
    pub fn groups(self) -> Vec<AnswerGroup> {
        self.0
    }
}
