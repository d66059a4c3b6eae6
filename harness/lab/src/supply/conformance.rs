//! The Gateway API's conformance suite, built only for those who ask for it: a program, and the images of its manifests.
//!
//! How these are called the suite says itself (`suite plan`): nothing here knows, so that a newer suite with newer names needs
//! no change.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::archive::{self, Image};
use super::golang::GoBuild;
use super::pins::{self, Pins};
use super::source::{GoBuilds, need_go};
use super::{LoadImage, SupplyError};
use crate::cache::{Cache, Inputs, blocking, io};
use crate::command::Tool;
use crate::host;
use meshproof_model::progress::Progress;

/// The backend of the tests, as program and as the last part of its image's name.
const ECHO: &str = "echo-basic";
/// A DNS server behind UDPRoutes, likewise.
const COREDNS: &str = "coredns";

/// The suite, ready to be started.
#[derive(Debug, Clone)]
pub struct Suite {
    /// Its program: `suite plan`, `suite run`.
    pub program: PathBuf,
    echo: PathBuf,
    digest: String,
}

/// What is built, and from what.
fn build() -> GoBuild {
    GoBuild {
        name: pins::GATEWAY_API_CONFORMANCE.name,
        module: pins::GATEWAY_API_CONFORMANCE,
        programs: vec![("./suite", "suite"), ("sigs.k8s.io/gateway-api/conformance/echo-basic", ECHO)],
        tags: "",
        stamps: vec![],
        beside: None,
    }
}

/// Builds the suite, or takes it from the cache.
///
/// # Errors
/// The host lacks Go, a download or the build failed.
pub async fn suite(cache: &Cache, progress: &dyn Progress) -> Result<Suite, SupplyError> {
    let build = build();
    let key = build.key();
    if cache.find(&key).is_none() {
        need_go()?;
        host::ensure(cache, progress, host::BUILD).await?;
    }
    let programs = build.build(cache, progress).await?;
    Ok(Suite { program: programs.join("suite"), echo: programs.join(ECHO), digest: key.digest })
}

impl Suite {
    /// What the suite says that it would do, as JSON.
    ///
    /// # Errors
    /// It does not start.
    pub async fn plan(&self) -> Result<String, SupplyError> {
        let plan = Tool::new("ask the conformance suite for its tests", &self.program).arg("plan");
        Ok(plan.run().await?)
    }

    /// Images by these names, which are those of the suite's manifests.
    ///
    /// # Errors
    /// One of them is none that can be built here, or the build failed.
    pub async fn images(
        &self,
        cache: &Cache,
        names: &BTreeSet<String>,
        progress: &dyn Progress,
    ) -> Result<Vec<LoadImage>, SupplyError> {
        let sorted = sort(names).map_err(|unknown| SupplyError::Unexpected {
            what: format!(
                "the conformance suite's manifests want the image {unknown}, which meshproof does not know to build; leave \
                 out the profile or feature that needs it"
            ),
        })?;
        let mut images = Vec::new();
        for (program, references) in sorted {
            let binary = match program {
                ECHO => self.echo.clone(),
                _ => GoBuilds::new(&Pins::load()?).coredns.build(cache, progress).await?.join(COREDNS),
            };
            images.push(self.image(cache, program, binary, references, progress).await?);
        }
        Ok(images)
    }

    async fn image(
        &self,
        cache: &Cache,
        program: &'static str,
        binary: PathBuf,
        references: Vec<String>,
        progress: &dyn Progress,
    ) -> Result<LoadImage, SupplyError> {
        let key = Inputs::new("gateway-api-conformance-image")
            .with("suite", &self.digest)
            .with("program", program)
            .with("coredns", pins::ISTIO.go_sum)
            .with("names", references.join(" "))
            .key();
        let reference = references.first().cloned().unwrap_or_default();
        let dir = cache
            .entry(&key, "put the suite's backends into images", progress, |out| async move {
                let tar = out.join("image.tar");
                let to = tar.clone();
                let scratch = Image::scratch(String::new(), program, binary);
                // A DNS server binds a low port, which its manifest allows root alone.
                let user = if program == COREDNS { String::new() } else { scratch.user.clone() };
                let image = Image { references, user, ..scratch };
                blocking(move || archive::write(&[image], &to))
                    .await
                    .map_err(io("write the image to", &tar))?;
                Ok::<_, SupplyError>(())
            })
            .await?;
        Ok(LoadImage { reference, archive: dir.join("image.tar") })
    }
}

/// The names by the programs they are for; one that nothing is known of.
fn sort(names: &BTreeSet<String>) -> Result<Vec<(&'static str, Vec<String>)>, String> {
    let mut sorted: Vec<(&'static str, Vec<String>)> = Vec::new();
    for name in names {
        let program = match last(name) {
            ECHO => ECHO,
            COREDNS => COREDNS,
            _ => return Err(name.clone()),
        };
        match sorted.iter_mut().find(|(known, _)| *known == program) {
            Some((_, names)) => names.push(name.clone()),
            None => sorted.push((program, vec![name.clone()])),
        }
    }
    Ok(sorted)
}

/// The last part of an image's name, without its tag.
fn last(reference: &str) -> &str {
    let name = reference.rsplit('/').next().unwrap_or(reference);
    name.split([':', '@']).next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_the_suites_and_tell_what_is_in_them() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let sorted =
            sort(&names(&["r.example/a/echo-basic:1", "r.example/a/echo-basic:2", "r.example/coredns:3"]));
        assert_eq!(
            sorted.unwrap(),
            [
                (ECHO, vec!["r.example/a/echo-basic:1".to_owned(), "r.example/a/echo-basic:2".to_owned()]),
                (COREDNS, vec!["r.example/coredns:3".to_owned()]),
            ]
        );
        assert_eq!(sort(&names(&["r.example/echo-advanced:1"])), Err("r.example/echo-advanced:1".to_owned()));
    }

    #[test]
    fn the_suite_is_built_from_its_own_sources_too() {
        let mut other = build();
        other.module.own = &[("suite/main.go", "package main")];
        assert_ne!(build().key(), other.key());
    }
}
