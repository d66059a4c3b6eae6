//! Colours, or none.

use console::Style;

use crate::text;
use meshproof_model::event::Verdict;

/// Styles text, unless colours are off.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    colours: bool,
}

impl Paint {
    pub(super) fn new(colours: bool) -> Self {
        Self { colours }
    }

    pub(super) fn dim(&self, text: &str) -> String {
        self.style(Style::new().dim(), text)
    }

    pub(super) fn bold(&self, text: &str) -> String {
        self.style(Style::new().bold(), text)
    }

    /// Text in the colour of a verdict.
    pub(super) fn verdict(&self, verdict: Verdict, text: &str) -> String {
        let style = match verdict {
            Verdict::Proved => Style::new().green(),
            Verdict::Partly => Style::new().yellow(),
            Verdict::Measured => Style::new().cyan(),
            Verdict::Failed => Style::new().red().bold(),
            Verdict::Error => Style::new().magenta().bold(),
            Verdict::Skipped | Verdict::Waived => Style::new().dim(),
        };
        self.style(style, text)
    }

    /// The sign of a verdict in its colour.
    pub(super) fn sign(&self, verdict: Verdict) -> String {
        self.verdict(verdict, text::sign(verdict))
    }

    fn style(&self, style: Style, text: &str) -> String {
        // Forced either way: whether there are colours was decided once, for stderr.
        style.force_styling(self.colours).apply_to(text).to_string()
    }
}
