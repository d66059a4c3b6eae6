//! Counting equal answers.

use crate::probe::Answer;
use crate::probe::strip::group;
use meshproof_model::event::AnswerGroup;

/// Answers, counted by status, failure, backend and reason in order of first appearance.
#[derive(Debug, Default, Clone)]
pub struct Tally(Vec<AnswerGroup>);

impl Tally {
    /// Counts an answer.
    pub fn count(&mut self, answer: &Answer) {
        self.count_with(answer, None);
    }

    /// Counts an answer of which it is known why it was given.
    pub fn count_with(&mut self, answer: &Answer, reason: Option<String>) {
        let group = AnswerGroup { reason, ..group(answer) };
        let key = |group: &AnswerGroup| {
            (group.status, group.failure.clone(), group.backend.clone(), group.reason.clone())
        };
        let same = |known: &&mut AnswerGroup| key(known) == key(&group);
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
        // Answers to several methods come in turn, and where a run of them begins is chance: of one status, those that say who
        // gave them stand first.
        let mut statuses: Vec<Option<u16>> = Vec::new();
        for group in &self.0 {
            if !statuses.contains(&group.status) {
                statuses.push(group.status);
            }
        }
        let place = |group: &AnswerGroup| statuses.iter().position(|status| *status == group.status);
        let mut groups = self.0;
        groups.sort_by_key(|group| (place(group), group.backend.is_none()));
        groups
    }
}
