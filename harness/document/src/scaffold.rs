//! Any how-to page as a pack: its manifests and commands in its order as the steps of a scenario, what it prints as claims, its
//! sentences as requirements that a person has yet to judge. Nothing here reads or writes a file.
//!
//! A page is never understood altogether. What needs a cloud, has to be fetched, is left to the reader or is simply not known
//! stays as a comment at its place, and is listed in the pack's README with its lines, the reason, and what to do.

mod curl;
mod draft;
mod entry;
mod kubectl;
mod objects;
mod printed;
mod programs;
mod said;
mod variables;
mod walk;
mod write;

pub use draft::slug;
pub use entry::{Kind, Open, Reason};
pub use write::Counts;

use draft::Draft;
use walk::Sentence;

use crate::page::Page;

/// A pack, made of a page.
#[derive(Debug)]
pub struct Scaffold {
    name: String,
    title: String,
    edition: String,
    draft: Draft,
    sentences: Vec<Sentence>,
}

impl Scaffold {
    /// Reads a page. The pack, the scenario and the document are called `name`.
    pub fn of(page: &Page, name: &str) -> Self {
        let (draft, sentences) = walk::walk(page);
        let title = page.title.clone().filter(|title| !title.trim().is_empty());
        Self {
            name: slug(name),
            title: title.unwrap_or_else(|| name.to_owned()),
            edition: page.edition.clone().unwrap_or_else(|| "undated".to_owned()),
            draft,
            sentences,
        }
    }

    /// What the pack and its scenario are called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes a comment of what meshproof cannot read: of the steps at this line of the scenario, or of those that name this file
    /// of its folder. Whether there was one.
    pub fn refuse(&mut self, file: &str, line: usize, why: &str) -> bool {
        let (_, ranges) = self.scenario();
        let mut found = false;
        for (entry, (first, last)) in self.draft.entries.iter_mut().zip(ranges) {
            let at_line = file == "scenario.yaml" && (first..=last).contains(&line);
            let names = entry.step.as_ref().is_some_and(|step| step.files.iter().any(|known| known == file));
            if entry.off.is_none() && (at_line || names) {
                let next = "put it right, and take the comment signs off";
                entry.off =
                    Some(Reason::new(Kind::Unknown, format!("meshproof cannot read it: {why}"), next));
                found = true;
            }
        }
        found
    }
}
