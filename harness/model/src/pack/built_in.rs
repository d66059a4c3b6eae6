//! What the program knows of the pack it was built with, without any folder: its name and what it promises. Its scenarios are
//! unpacked, or read from a checkout, by who runs them.

use std::io;
use std::path::Path;

use super::{FILE, Pack};
use crate::scenario::Problems;

/// Its files, as they were when this program was built.
const FILES: [(&str, &str); 2] = [
    (FILE, include_str!("../../../../scenarios/pack.yaml")),
    ("requirements.yaml", include_str!("../../../../scenarios/requirements.yaml")),
];

impl Pack {
    /// The pack that this program was built with, as if it lay in `folder`.
    ///
    /// # Errors
    /// Its files were not well formed at build time; a test guards against that.
    pub fn built_in(folder: &Path) -> Result<Self, Problems> {
        Self::read(folder, &|path| {
            let known = FILES.iter().find(|(name, _)| path == folder.join(name));
            let known = known.map(|(_, text)| (*text).to_owned());
            known.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "it was not compiled in"))
        })
    }
}
