//! The images of this workspace: static musl programs FROM scratch, tagged with their content.

mod checkout;
mod inputs;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::archive::{self, Image};
use super::node::OWN_IMAGES;
use super::{LoadImage, SupplyError, Wanted};
use crate::cache::{Cache, CacheError, Key, blocking, hex, io};
use crate::command::{Tool, on_path};
use crate::host::HostError;
use meshproof_model::progress::Progress;

/// The phase in which the images are made.
pub const PHASE: &str = "build the extension's images";
/// The phase in which only those are made that every run needs.
pub const FIXTURES_PHASE: &str = "build the backend's image";
/// The phase in which those with faults on purpose are made.
pub const FAULTS_PHASE: &str = "build the extension's images with faults";
/// What only programs with faults on purpose hold: the environment variable that names one.
const FAULTS_MARK: &[u8] = b"ALB_FAULT";
/// What is appended to the names of images with faults.
pub const FAULTS_SUFFIX: &str = "-faults";
/// The limit for each image: pulling and starting it should never be what people wait for.
pub const IMAGE_LIMIT_BYTES: u64 = 25_000_000;

/// A program of the workspace that becomes an image of the same name.
#[derive(Debug, Clone, Copy)]
struct Program {
    package: &'static str,
    name: &'static str,
    /// Of the workspace's profiles; cargo builds in a directory of this name.
    profile: &'static str,
    /// Folders of what it is made of, if that is not the whole gateway.
    sources: Option<&'static [&'static str]>,
}

impl Program {
    const fn released(package: &'static str, name: &'static str) -> Self {
        Self { package, name, profile: "release", sources: None }
    }

    const fn made_of(self, sources: &'static [&'static str]) -> Self {
        Self { sources: Some(sources), ..self }
    }
}

/// Those of one profile beside each other: cargo is run once for each.
const PROGRAMS: [Program; 5] = [
    Program::released("alb-controller", "alb-controller"),
    Program::released("alb-controller-istio-extension", "alb-controller-istio-extension"),
    Program::released("echo-backend", "echo").made_of(&["fixtures/echo"]),
    Program::released("load-balancer", "load-balancer")
        .made_of(&["fixtures/load-balancer", "extension/runtime"]),
    // Every request goes through it: what makes it faster is worth minutes of building.
    Program { profile: "dataplane", ..Program::released("alb-proxy", "alb-proxy") },
];

/// The programs that can be built with faults on purpose (their feature `faults`).
const WITH_FAULTS: [Program; 3] = [PROGRAMS[0], PROGRAMS[1], Program { profile: "release", ..PROGRAMS[4] }];

/// How programs are built, and what their images are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flavour {
    /// As they are shipped.
    Shipped,
    /// With faults on purpose, for mutants.
    Faulty,
}

impl Flavour {
    fn programs(self) -> &'static [Program] {
        match self {
            Self::Shipped => &PROGRAMS,
            Self::Faulty => &WITH_FAULTS,
        }
    }

    fn image(self, program: &Program) -> String {
        match self {
            Self::Shipped => program.name.to_owned(),
            Self::Faulty => format!("{}{FAULTS_SUFFIX}", program.name),
        }
    }

    fn features(self, programs: &[Program]) -> Vec<String> {
        match self {
            Self::Shipped => Vec::new(),
            Self::Faulty => programs.iter().map(|program| format!("{}/faults", program.package)).collect(),
        }
    }

    /// Whether a program is what its image says: no image that is shipped holds a fault, and none for mutants lacks them.
    fn check(self, program: &Program, content: &[u8]) -> Result<(), SupplyError> {
        let marked = content.windows(FAULTS_MARK.len()).any(|window| window == FAULTS_MARK);
        let what = match (self, marked) {
            (Self::Shipped, true) => "was built with faults on purpose, and must not be shipped",
            (Self::Faulty, false) => "was built without its faults on purpose: no mutant could act",
            _ => return Ok(()),
        };
        Err(SupplyError::Unexpected { what: format!("the program {} {what}", program.name) })
    }
}

/// The images of an entry, for its readers.
#[derive(Debug, Serialize, Deserialize)]
struct Index {
    /// File name of the archive, and the image's reference.
    images: Vec<(String, String)>,
}

/// The workspace's root: the directory above that holds it, else where this program was compiled.
///
/// # Errors
/// There is none.
pub fn root() -> Result<PathBuf, SupplyError> {
    here(meshproof_model::workspace::root())
}

fn here(root: Option<PathBuf>) -> Result<PathBuf, SupplyError> {
    root.ok_or_else(|| {
        SupplyError::Host(HostError::Missing {
            missing: "this project's sources, of which the backend of the scenarios (and the gateway of this workspace, if \
                      it is the one under test) is compiled: no registry has these images"
                .to_owned(),
            advice: "Run meshproof inside a checkout of this project. `meshproof run --plan` and `meshproof pack check` \
                     need neither images nor a cluster"
                .to_owned(),
        })
    })
}

/// Key of the images of the workspace in `root`.
///
/// # Errors
/// A source cannot be read.
pub fn key(root: &Path) -> Result<Key, CacheError> {
    inputs::key(root, Flavour::Shipped, Flavour::Shipped.programs())
}

/// Builds those of the images that are wanted, or takes them from the cache.
///
/// # Errors
/// There is no workspace, Rust's musl target cannot be had, the build failed, or an image is too large.
pub async fn images(
    cache: &Cache,
    wanted: &Wanted,
    progress: &dyn Progress,
) -> Result<Vec<LoadImage>, SupplyError> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let root = root()?;
    let programs: Vec<_> = PROGRAMS.into_iter().filter(|program| wanted.has(program.name)).collect();
    // Where all of them are, nothing is compiled for some.
    if programs.len() < PROGRAMS.len() && cache.find(&key(&root)?).is_none() {
        return made(cache, &root, Flavour::Shipped, &programs, progress).await;
    }
    let all = made(cache, &root, Flavour::Shipped, &PROGRAMS, progress).await?;
    let is_of = |image: &LoadImage, program: &Program| {
        image.reference.starts_with(&format!("{OWN_IMAGES}/{}:", program.name))
    };
    Ok(all.into_iter().filter(|image| programs.iter().any(|program| is_of(image, program))).collect())
}

/// The same for the images with faults on purpose, which only mutants use: `alb-proxy-faults` and so on.
///
/// # Errors
/// As [`images`].
pub async fn faulty_images(
    cache: &Cache,
    root: &Path,
    progress: &dyn Progress,
) -> Result<Vec<LoadImage>, SupplyError> {
    made(cache, root, Flavour::Faulty, Flavour::Faulty.programs(), progress).await
}

async fn made(
    cache: &Cache,
    root: &Path,
    flavour: Flavour,
    programs: &[Program],
    progress: &dyn Progress,
) -> Result<Vec<LoadImage>, SupplyError> {
    let key = inputs::key(root, flavour, programs)?;
    let phase = match flavour {
        Flavour::Shipped if programs.iter().all(|program| program.sources.is_some()) => FIXTURES_PHASE,
        Flavour::Shipped => PHASE,
        Flavour::Faulty => FAULTS_PHASE,
    };
    let dir = cache
        .entry(&key, phase, progress, |out| {
            let key = &key;
            async move {
                // One build at a time uses the directory cargo builds in: the programs taken from it are
                // those just made.
                let waiting = || tracing::debug!("another meshproof compiles this workspace");
                let _lock = cache.lock("cargo-target", waiting).await?;
                let compiled = compile(cache, root, flavour, programs).await?;
                if inputs::key(root, flavour, programs)? != *key {
                    return Err(SupplyError::Unexpected {
                        what: "the extension's sources changed while they were compiled; run it again"
                            .to_owned(),
                    });
                }
                let programs = programs.to_vec();
                blocking(move || package(&compiled, &out, flavour, &programs)).await
            }
        })
        .await?;
    let file = dir.join("images.json");
    let text = std::fs::read(&file).map_err(io("read", &file))?;
    let index: Index = serde_json::from_slice(&text)
        .map_err(|error| SupplyError::Unexpected { what: format!("{}: {error}", file.display()) })?;
    Ok(index
        .images
        .into_iter()
        .map(|(archive, reference)| LoadImage { reference, archive: dir.join(archive) })
        .collect())
}

/// Compiles the programs, those of one profile at once; returns the directory that has a directory for each profile.
async fn compile(
    cache: &Cache,
    root: &Path,
    flavour: Flavour,
    programs: &[Program],
) -> Result<PathBuf, SupplyError> {
    let cargo = cargo()?;
    ensure_target().await?;
    let target_dir = cache.dir("cargo-target")?;
    let out = target_dir.join(target());
    checkout::forget_another(&out, root).map_err(io("look at what was compiled before in", &out))?;
    for programs in programs.chunk_by(|one, next| one.profile == next.profile) {
        let profile = programs.first().map_or("release", |program| program.profile);
        Tool::new("build the extension's programs", &cargo)
            .contained()
            .args(["build", "--profile", profile, "--locked", "--bins", "--target", target()])
            .args(programs.iter().flat_map(|program| ["--package", program.package]))
            .args(flavour.features(programs).iter().flat_map(|feature| ["--features", feature.as_str()]))
            .env("CARGO_TARGET_DIR", &target_dir)
            .env("CARGO_TERM_COLOR", "never")
            .env(format!("CC_{}", target().replace('-', "_")), "gcc")
            // cargo does not strip the programs of packages that have a profile of their own.
            .env(
                format!("CARGO_TARGET_{}_RUSTFLAGS", target().replace('-', "_").to_uppercase()),
                "-C strip=symbols",
            )
            .dir(root)
            .log(cache.log(&format!("workspace-images-{profile}")))
            .run()
            .await?;
    }
    checkout::remember(&out, root).map_err(io("remember what was compiled in", &out))?;
    Ok(out)
}

fn package(compiled: &Path, out: &Path, flavour: Flavour, programs: &[Program]) -> Result<(), SupplyError> {
    let mut images = Vec::new();
    for program in programs {
        let binary = compiled.join(program.profile).join(program.name);
        let content = std::fs::read(&binary).map_err(io("read the program", &binary))?;
        flavour.check(program, &content)?;
        let name = flavour.image(program);
        // Tagged with its content: a pod's image changes exactly when the program does.
        let tag = hex(&Sha256::digest(&content))[..12].to_owned();
        let reference = format!("{OWN_IMAGES}/{name}:{tag}");
        let file = format!("{name}.tar");
        let archive = out.join(&file);
        archive::write(&[Image::scratch(reference.clone(), program.name, binary)], &archive)
            .map_err(io("write the image", &archive))?;
        let size = std::fs::metadata(&archive).map_err(io("measure", &archive))?.len();
        if size > IMAGE_LIMIT_BYTES {
            return Err(SupplyError::Unexpected {
                what: format!("image {reference} has {size} bytes; the limit is {IMAGE_LIMIT_BYTES}"),
            });
        }
        images.push((file, reference));
    }
    let file = out.join("images.json");
    let text = serde_json::to_vec_pretty(&Index { images }).map_err(std::io::Error::from);
    text.and_then(|text| std::fs::write(&file, text)).map_err(io("write", &file))?;
    Ok(())
}

/// Rust's target for static programs of this architecture.
pub fn target() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "aarch64-unknown-linux-musl",
        _ => "x86_64-unknown-linux-musl",
    }
}

/// Whether Rust can build for [`target`].
pub async fn has_target() -> bool {
    let ask = Tool::new("look for Rust's musl target", "rustc").args([
        "--print",
        "target-libdir",
        "--target",
        target(),
    ]);
    ask.run().await.is_ok_and(|dir| Path::new(dir.trim()).is_dir())
}

fn cargo() -> Result<std::ffi::OsString, SupplyError> {
    if let Some(cargo) = std::env::var_os("CARGO") {
        return Ok(cargo);
    }
    if on_path("cargo").is_some() {
        return Ok("cargo".into());
    }
    Err(SupplyError::Host(HostError::Missing {
        missing: "cargo, which compiles the images of this workspace".to_owned(),
        advice: "Install Rust with rustup, and put cargo on PATH".to_owned(),
    }))
}

async fn ensure_target() -> Result<(), SupplyError> {
    if has_target().await {
        return Ok(());
    }
    if on_path("rustup").is_none() {
        return Err(SupplyError::Host(HostError::Missing {
            missing: format!("Rust's target {}", target()),
            advice: format!("Install rustup, then run: rustup target add {}", target()),
        }));
    }
    Tool::new("add Rust's musl target", "rustup").args(["target", "add", target()]).run().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("Cargo.toml", "");
        write("Cargo.lock", "");
        write(".cargo/config.toml", "");
        write("extension/proxy/src/main.rs", "fn main() {}");
        write("extension/proxy/tests/all.rs", "1");
        write("extension/charts/c/Chart.yaml", "1");
        write("fixtures/echo/src/main.rs", "");
        write("fixtures/load-balancer/src/main.rs", "");
        dir
    }

    /// Writes all programs where cargo would, with these contents.
    fn fill(dir: &Path, content: impl Fn(&Program) -> &'static str) {
        for flavour in [Flavour::Shipped, Flavour::Faulty] {
            for program in flavour.programs() {
                let dir = dir.join(program.profile);
                std::fs::create_dir_all(&dir).unwrap();
                std::fs::write(dir.join(program.name), content(program)).unwrap();
            }
        }
    }

    #[test]
    fn programs_of_one_profile_are_built_at_once() {
        for flavour in [Flavour::Shipped, Flavour::Faulty] {
            let runs: Vec<_> = flavour
                .programs()
                .chunk_by(|one, next| one.profile == next.profile)
                .map(|run| run[0].profile)
                .collect();
            let different: std::collections::BTreeSet<_> = runs.iter().collect();
            assert_eq!(runs.len(), different.len(), "{runs:?}");
        }
    }

    #[test]
    fn a_source_changes_the_key_and_a_test_or_chart_does_not() {
        let dir = workspace();
        let before = key(dir.path()).unwrap();
        std::fs::write(dir.path().join("extension/proxy/tests/all.rs"), "2").unwrap();
        std::fs::write(dir.path().join("extension/charts/c/Chart.yaml"), "2").unwrap();
        assert_eq!(key(dir.path()).unwrap(), before);
        std::fs::write(dir.path().join("extension/proxy/src/main.rs"), "fn main() { }").unwrap();
        assert_ne!(key(dir.path()).unwrap(), before);
    }

    #[test]
    fn each_program_becomes_an_archive_tagged_with_its_content() {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), |program| program.name);
        let out = tempfile::tempdir().unwrap();
        package(dir.path(), out.path(), Flavour::Shipped, &PROGRAMS).unwrap();
        let index: Index =
            serde_json::from_slice(&std::fs::read(out.path().join("images.json")).unwrap()).unwrap();
        assert_eq!(index.images.len(), PROGRAMS.len());
        assert!(out.path().join("echo.tar").is_file());
        let (_, echo) = index.images.iter().find(|(file, _)| file == "echo.tar").unwrap();
        let tag = &hex(&Sha256::digest(b"echo"))[..12];
        assert_eq!(*echo, format!("localhost/meshproof/echo:{tag}"));
    }

    #[test]
    fn an_image_over_the_limit_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), |_| "");
        let large = std::fs::File::create(dir.path().join("dataplane/alb-proxy")).unwrap();
        large.set_len(IMAGE_LIMIT_BYTES).unwrap();
        let out = tempfile::tempdir().unwrap();
        let error = package(dir.path(), out.path(), Flavour::Shipped, &PROGRAMS).unwrap_err();
        assert!(error.to_string().contains("alb-proxy"), "{error}");
    }

    #[test]
    fn no_image_that_is_shipped_holds_a_fault_and_none_for_mutants_lacks_them() {
        let dir = tempfile::tempdir().unwrap();
        let packaged = |flavour| {
            let out = tempfile::tempdir().unwrap();
            let made = package(dir.path(), out.path(), flavour, flavour.programs());
            made.map(|()| out.path().join("alb-proxy-faults.tar").is_file())
                .map_err(|error| error.to_string())
        };
        fill(dir.path(), |_| "..ALB_FAULT..");
        assert!(packaged(Flavour::Shipped).unwrap_err().contains("must not be shipped"));
        assert_eq!(packaged(Flavour::Faulty), Ok(true));
        fill(dir.path(), |_| "......");
        assert_eq!(packaged(Flavour::Shipped), Ok(false));
        assert!(packaged(Flavour::Faulty).unwrap_err().contains("without its faults"));
    }

    #[test]
    fn images_with_faults_are_built_by_a_feature_that_the_others_do_not_have() {
        assert!(Flavour::Shipped.features(&PROGRAMS).is_empty());
        assert_eq!(
            Flavour::Faulty.features(Flavour::Faulty.programs()),
            ["alb-controller/faults", "alb-controller-istio-extension/faults", "alb-proxy/faults"]
        );
        let dir = workspace();
        let faulty = inputs::key(dir.path(), Flavour::Faulty, Flavour::Faulty.programs()).unwrap();
        assert_ne!(key(dir.path()).unwrap(), faulty);
    }

    #[test]
    fn what_only_some_are_made_of_changes_only_their_key() {
        let dir = workspace();
        let write = |path: &str| std::fs::write(dir.path().join(path), "fn main() { }").unwrap();
        std::fs::create_dir_all(dir.path().join("extension/runtime")).unwrap();
        let keys = || {
            let of = |names: &[&str]| {
                let some: Vec<_> =
                    PROGRAMS.into_iter().filter(|program| names.contains(&program.name)).collect();
                inputs::key(dir.path(), Flavour::Shipped, &some).unwrap()
            };
            (of(&["echo"]), of(&["echo", "load-balancer"]), key(dir.path()).unwrap())
        };
        let before = keys();
        assert!(before.0 != before.1 && before.1 != before.2);
        write("extension/proxy/src/main.rs");
        let after = keys();
        assert_eq!((&after.0, &after.1), (&before.0, &before.1));
        assert_ne!(after.2, before.2);
        write("fixtures/load-balancer/src/main.rs");
        assert_eq!(keys().0, before.0);
        assert_ne!(keys().1, before.1);
    }

    #[test]
    fn without_sources_the_host_is_not_fit_and_it_is_said_what_to_do() {
        let error = here(None).unwrap_err();
        assert!(error.is_unfit_host(), "{error}");
        assert!(error.to_string().contains("checkout"), "{error}");
    }
}
