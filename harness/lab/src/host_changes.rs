//! What changes the host is done only with consent: packages, an engine, limits of the kernel, rules of a firewall.
//!
//! Consent is given beforehand (`--host-changes allow`, `MESHPROOF_HOST_CHANGES=allow`) or on the terminal, where the changes are
//! listed. Where nobody can be asked and nothing was said, nothing is changed.

use std::collections::BTreeSet;
use std::io::{BufRead as _, IsTerminal as _};
use std::sync::{Mutex, OnceLock, PoisonError};

use clap::ValueEnum;

/// The variable that says it where no flag does.
pub const VARIABLE: &str = "MESHPROOF_HOST_CHANGES";

/// What was said beforehand about changes of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HostChanges {
    /// They may be made.
    Allow,
    /// They may not.
    Refuse,
}

/// Whether changes may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreement {
    /// Somebody agreed.
    Agreed,
    /// Somebody said no.
    Refused,
    /// Nobody said anything, and nobody can be asked.
    Nobody,
}

/// Changes of the host to which nobody agreed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "this takes changes of the host, {}:\n  - {}\n  do      agree with --host-changes allow (or {VARIABLE}=allow), or see to it \
     yourself and try again; `meshproof down` undoes what it made", why(*agreement), changes.join("\n  - ")
)]
pub struct NotAgreed {
    /// The changes.
    pub changes: Vec<String>,
    /// Why they are not made.
    pub agreement: Agreement,
}

fn why(agreement: Agreement) -> &'static str {
    match agreement {
        Agreement::Nobody => "nobody has agreed to them, and there is no terminal to ask on",
        Agreement::Refused | Agreement::Agreed => "and they were refused",
    }
}

static SAID: OnceLock<HostChanges> = OnceLock::new();
/// What somebody agreed to on the terminal: nobody is asked twice.
static AGREED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Notes what the command line says, for the whole program.
pub fn say(said: Option<HostChanges>) {
    if let Some(said) = said {
        let _ = SAID.set(said);
    }
}

fn said() -> Option<HostChanges> {
    let from_environment = || HostChanges::from_str(&std::env::var(VARIABLE).ok()?, true).ok();
    SAID.get().copied().or_else(from_environment)
}

/// Whether these changes may be made; asks if need be.
pub(crate) async fn agreement(changes: &[String]) -> Agreement {
    let known = |agreed: &BTreeSet<String>| changes.iter().all(|change| agreed.contains(change));
    let agreed_before = known(&AGREED.lock().unwrap_or_else(PoisonError::into_inner));
    if let Some(decided) = decided(said(), changes.is_empty() || agreed_before) {
        return decided;
    }
    match asked(format!("This takes changes of the host:\n  - {}\nMake them?", changes.join("\n  - "))).await
    {
        Some(true) => {
            AGREED.lock().unwrap_or_else(PoisonError::into_inner).extend(changes.iter().cloned());
            Agreement::Agreed
        }
        Some(false) => Agreement::Refused,
        None => Agreement::Nobody,
    }
}

/// Makes sure that these changes may be made.
///
/// # Errors
/// Nobody agreed.
pub(crate) async fn agree(changes: Vec<String>) -> Result<(), NotAgreed> {
    match agreement(&changes).await {
        Agreement::Agreed => Ok(()),
        agreement => Err(NotAgreed { changes, agreement }),
    }
}

/// What is known without asking.
fn decided(said: Option<HostChanges>, agreed_before: bool) -> Option<Agreement> {
    match said {
        _ if agreed_before => Some(Agreement::Agreed),
        Some(HostChanges::Allow) => Some(Agreement::Agreed),
        Some(HostChanges::Refuse) => Some(Agreement::Refused),
        None => None,
    }
}

/// Asks on the terminal; nothing where there is none. Anything but `yes` and `y` means no.
pub(crate) async fn asked(question: String) -> Option<bool> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return None;
    }
    let answer = tokio::task::spawn_blocking(move || {
        eprint!("\n{question} [y/N] ");
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map(|_| line).unwrap_or_default()
    });
    let answer = answer.await.unwrap_or_default();
    Some(agrees(&answer))
}

fn agrees(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_one() {
        assert!(agrees("y\n") && agrees(" Yes \n"));
        assert!(!agrees("") && !agrees("\n") && !agrees("no\n") && !agrees("yes please\n"));
    }

    #[test]
    fn what_was_said_counts_and_silence_is_no_consent() {
        assert_eq!(decided(Some(HostChanges::Allow), false), Some(Agreement::Agreed));
        assert_eq!(decided(Some(HostChanges::Refuse), false), Some(Agreement::Refused));
        assert_eq!(decided(None, false), None);
        assert_eq!(decided(None, true), Some(Agreement::Agreed));
    }

    #[test]
    fn a_refusal_lists_the_changes_and_what_to_say() {
        let changes = vec!["install packages".to_owned(), "start an engine".to_owned()];
        let said = NotAgreed { changes, agreement: Agreement::Nobody }.to_string();
        for word in [
            "install packages",
            "start an engine",
            "--host-changes allow",
            "MESHPROOF_HOST_CHANGES=allow",
            "no terminal",
        ] {
            assert!(said.contains(word), "{word}: {said}");
        }
    }
}
