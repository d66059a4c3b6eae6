//! Which versions of Istio there are to choose from, and which are refused. What is pinned is data, choosing is pure;
//! [`build`] makes or pulls the one that was chosen, and nobody else pays for it.

use meshproof_model::istio::{FIRST, NEWEST, OLDEST, TOO_OLD, number};

use super::pins::Pins;
use super::{Artifacts, ImageSource, IstioBuild, SupplyError, registry};
use crate::cache::Cache;
use crate::engine::Engine;
use meshproof_model::progress::Progress;

mod source;

/// The versions that can be had from one source of images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matrix {
    /// Those the document promises, the oldest first.
    versions: Vec<String>,
    /// One before them, to see it refused.
    too_old: String,
}

/// This version is none that can be had, or must not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSuchIstio {
    /// The document promises nothing for it.
    #[error(
        "Istio {asked} is too old: the document promises {}.{} and later (L71). Name a later one with --istio, or leave it out",
        FIRST.0, FIRST.1
    )]
    TooOld {
        /// What was asked for.
        asked: String,
    },
    /// It is not among those that can be had.
    #[error(
        "Istio {asked} was asked for, but what can be supplied here is {supplied}; leave --istio out for the last of them"
    )]
    Unknown {
        /// What was asked for.
        asked: String,
        /// What there is.
        supplied: String,
    },
}

fn is_too_old(version: &str) -> bool {
    number(version).is_some_and(|number| number < FIRST)
}

/// Refuses a version that is too old by its number alone, before anything is made.
///
/// # Errors
/// [`NoSuchIstio::TooOld`].
pub fn refuse_too_old(asked: &str) -> Result<(), NoSuchIstio> {
    if asked == TOO_OLD || is_too_old(asked) {
        return Err(NoSuchIstio::TooOld { asked: asked.to_owned() });
    }
    Ok(())
}

impl Matrix {
    /// What is built from source.
    pub fn from_source(pins: &Pins) -> Self {
        let versions = vec![pins.istio_versions.oldest.version.clone(), pins.istio.version.clone()];
        Self { versions, too_old: pins.istio_versions.too_old.clone() }
    }

    /// The pinned releases, up to that of the istioctl at hand.
    pub fn released(pins: &Pins, newest: &str) -> Self {
        let before = |version: &&String| number(version) < number(newest);
        let released = pins.istio_versions.released.iter().filter(before).cloned();
        let versions = released.chain([newest.to_owned()]).collect();
        Self { versions, too_old: pins.istio_versions.released_too_old.clone() }
    }

    /// The version of this key or number.
    ///
    /// # Errors
    /// There is none; one that is too old is called so.
    pub fn choose(&self, asked: &str) -> Result<&str, NoSuchIstio> {
        let found = match asked {
            NEWEST => self.versions.last(),
            OLDEST => self.versions.first(),
            TOO_OLD => Some(&self.too_old),
            version => self.versions.iter().find(|known| *known == version),
        };
        found.map(String::as_str).ok_or_else(|| match is_too_old(asked) {
            true => NoSuchIstio::TooOld { asked: asked.to_owned() },
            false => NoSuchIstio::Unknown { asked: asked.to_owned(), supplied: self.versions.join(", ") },
        })
    }
}

/// What there is to choose from.
///
/// # Errors
/// The pins cannot be read, or the released istioctl says nothing of its version.
pub async fn matrix(source: ImageSource) -> Result<Matrix, SupplyError> {
    let pins = Pins::load()?;
    Ok(match source {
        ImageSource::Registry => Matrix::released(&pins, &registry::newest_istio().await?),
        _ => Matrix::from_source(&pins),
    })
}

/// Builds or pulls one version of [`matrix`], from where the rest of the cluster came.
///
/// # Errors
/// A download or a build failed.
pub async fn build(
    cache: &Cache,
    engine: &Engine,
    artifacts: &Artifacts,
    version: &str,
    progress: &dyn Progress,
) -> Result<IstioBuild, SupplyError> {
    match artifacts.source {
        ImageSource::Registry => registry::istio(cache, engine, version, progress).await,
        _ => source::build(cache, &Pins::load()?, version, progress).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Matrix {
        Matrix::from_source(&Pins::load().unwrap())
    }

    fn released(newest: &str) -> Matrix {
        Matrix::released(&Pins::load().unwrap(), newest)
    }

    #[test]
    fn pins_are_on_the_right_side_of_the_limit_and_in_order() {
        let pins = Pins::load().unwrap();
        let versions = &pins.istio_versions;
        let numbers: Vec<_> = versions.released.iter().map(|version| number(version).unwrap()).collect();
        assert_eq!(numbers.first(), Some(&FIRST), "the first release of the first line is the limit itself");
        assert!(numbers.windows(2).all(|pair| pair[0].0 == pair[1].0 && pair[0].1 + 1 == pair[1].1));
        for too_old in [&versions.too_old, &versions.released_too_old] {
            assert_eq!(number(too_old), Some((FIRST.0, FIRST.1 - 1)));
        }
        assert!(number(&versions.oldest.version) >= Some(FIRST));
        assert!(number(&pins.istio.version) >= number(&versions.oldest.version));
    }

    #[test]
    fn a_stand_in_says_so_in_its_number_and_names_the_build_it_is() {
        let versions = Pins::load().unwrap().istio_versions;
        assert!(versions.too_old.ends_with(&format!("-stamped.{}", versions.oldest.revision)));
    }

    #[test]
    fn keys_and_numbers_choose_a_version() {
        let (matrix, pins) = (source(), Pins::load().unwrap());
        assert_eq!(matrix.choose("newest").unwrap(), pins.istio.version);
        assert_eq!(matrix.choose("oldest").unwrap(), pins.istio_versions.oldest.version);
        assert_eq!(matrix.choose(&pins.istio_versions.oldest.version), matrix.choose("oldest"));
        assert_eq!(matrix.choose("too-old").unwrap(), pins.istio_versions.too_old);
    }

    #[test]
    fn released_versions_reach_from_the_first_promised_to_the_istioctl_at_hand() {
        let matrix = released("1.27.3");
        assert_eq!(matrix.versions, ["1.24.0", "1.25.0", "1.26.0", "1.27.3"]);
        assert_eq!(matrix.choose("oldest").unwrap(), "1.24.0");
        assert_eq!(matrix.choose("newest").unwrap(), "1.27.3");
        assert_eq!(matrix.choose("1.25.0").unwrap(), "1.25.0");
        assert_eq!(matrix.choose("too-old").unwrap(), "1.23.0");
        assert_eq!(released("1.24.2").versions, ["1.24.2"]);
    }

    #[test]
    fn what_cannot_be_had_is_refused_by_name() {
        for too_old in ["1.23.6", "v1.9.2", "0.8"] {
            let refused = source().choose(too_old).unwrap_err();
            assert_eq!(refused, NoSuchIstio::TooOld { asked: too_old.into() });
            assert_eq!(refuse_too_old(too_old), Err(refused));
        }
        assert!(refuse_too_old("too-old").is_err());
        for fine in ["1.24.0", "oldest", "newest", "latest"] {
            assert_eq!(refuse_too_old(fine), Ok(()));
        }
        let unknown = released("1.26.1").choose("1.99.0").unwrap_err().to_string();
        assert!(unknown.contains("1.99.0") && unknown.contains("1.24.0, 1.25.0, 1.26.1"), "{unknown}");
    }
}
