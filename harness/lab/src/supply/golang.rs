//! Programs built from pinned Go modules.

use std::path::{Path, PathBuf};

use super::SupplyError;
use super::pins::GoModule;
use crate::cache::{Cache, CacheError, Inputs, Key, io};
use crate::command::Tool;
use crate::host::memory_available;
use meshproof_model::progress::Progress;

/// A set of programs of one module, built in one go.
#[derive(Debug, Clone)]
pub struct GoBuild {
    /// What is built, for people.
    pub name: &'static str,
    /// The pinned module.
    pub module: GoModule,
    /// Package to build, and the name of its program.
    pub programs: Vec<(&'static str, &'static str)>,
    /// Build tags, separated by commas; empty for none.
    pub tags: &'static str,
    /// `-X` stamps: variable and value.
    pub stamps: Vec<(String, String)>,
    /// A module that is put beside it in another form.
    pub beside: Option<Beside>,
}

/// A required module without one of its packages, in the folder to which `go.mod` leads it: that package needs what cannot be had,
/// and nobody here uses it.
#[derive(Debug, Clone, Copy)]
pub struct Beside {
    /// The module that pins it.
    pub pinned: GoModule,
    /// Its path.
    pub path: &'static str,
    /// The folder, seen from `go.mod`.
    pub folder: &'static str,
    /// Its package, which is left out with all below it.
    pub without: &'static str,
    /// What stands there instead: the name of a file and its text.
    pub instead: (&'static str, &'static str),
}

impl GoBuild {
    /// The cache key of the programs. The Go release is not part of it: `go.mod` names the least one, and a
    /// newer Go on the host is no reason to compile everything again.
    pub fn key(&self) -> Key {
        let mut inputs = Inputs::new(self.name)
            .with("go.mod", self.module.go_mod)
            .with("go.sum", self.module.go_sum)
            .with("flags", COMPILER.join(" "))
            .with("linker", self.ldflags())
            .with("arch", std::env::consts::ARCH);
        for (path, text) in self.module.own {
            inputs = inputs.with(path, text);
        }
        if !self.tags.is_empty() {
            inputs = inputs.with("tags", self.tags);
        }
        if let Some(Beside { pinned, without, instead, .. }) = &self.beside {
            inputs = inputs.with("beside", pinned.go_sum).with(without, instead.1);
        }
        for (package, program) in &self.programs {
            inputs = inputs.with(program, package);
        }
        inputs.key()
    }

    /// The phase's name, for people.
    pub fn phase(&self) -> String {
        format!("compile {}", self.name)
    }

    /// The directory with the programs.
    ///
    /// # Errors
    /// Go is missing, a download or the compiler failed, or the cache did.
    pub async fn build(&self, cache: &Cache, progress: &dyn Progress) -> Result<PathBuf, SupplyError> {
        let phase = self.phase();
        cache
            .entry(&self.key(), &phase, progress, |out| async move {
                let source = self.source(cache).await?;
                // `-o DIR/` names each program after its package's last element: right for all but one-program
                // modules, which name theirs.
                let single = match self.programs.as_slice() {
                    [(_, program)] => Some(*program),
                    _ => None,
                };
                let target = single
                    .map_or_else(|| format!("{}/", out.display()), |p| out.join(p).display().to_string());
                go(self.phase(), &source)
                    .args(["build", "-trimpath"])
                    .args(COMPILER)
                    .args(["-tags", self.tags, "-ldflags", &self.ldflags()])
                    .args(["-o", &target])
                    .args(self.programs.iter().map(|(package, _)| *package))
                    .log(cache.log(&format!("go-{}", self.name)))
                    .run()
                    .await?;
                for (package, program) in &self.programs {
                    if !out.join(program).is_file() {
                        return Err(SupplyError::Unexpected {
                            what: format!("`go build {package}` made no program called {program}"),
                        });
                    }
                }
                Ok(())
            })
            .await
    }

    /// Downloads what the build will need, so that the network works while something else compiles.
    ///
    /// # Errors
    /// Go is missing or a download failed.
    pub async fn download(&self, cache: &Cache) -> Result<(), SupplyError> {
        let source = self.source(cache).await?;
        go(format!("download the modules of {}", self.module.name), &source)
            .args(["list", "-deps", "-tags", self.tags])
            .args(self.programs.iter().map(|(package, _)| *package))
            .run()
            .await?;
        Ok(())
    }

    /// The folder of its module, with everything that `go.mod` leads to.
    async fn source(&self, cache: &Cache) -> Result<PathBuf, SupplyError> {
        let source = materialise(cache, self.module)?;
        if let Some(beside) = &self.beside {
            let module = module_dir(cache, beside.pinned, beside.path).await?;
            beside.put(&module, &source.join(beside.folder))?;
        }
        Ok(source)
    }

    fn ldflags(&self) -> String {
        let mut flags = "-s -w".to_owned();
        for (variable, value) in &self.stamps {
            flags.push_str(&format!(" -X {variable}={value}"));
        }
        flags
    }
}

impl Beside {
    /// Puts the module at `from` into the folder `to`.
    fn put(&self, from: &Path, to: &Path) -> Result<(), CacheError> {
        if to.exists() {
            std::fs::remove_dir_all(to).map_err(io("remove", to))?;
        }
        let package = to.join(self.without);
        copy(from, to, &package)?;
        std::fs::create_dir_all(&package).map_err(io("create", &package))?;
        let (name, text) = self.instead;
        let file = package.join(name);
        std::fs::write(&file, text).map_err(io("write", &file))
    }
}

/// Copies a folder with all below it, but for what would be in `without`. The module cache cannot be written to; a copy can.
fn copy(from: &Path, to: &Path, without: &Path) -> Result<(), CacheError> {
    if to == without {
        return Ok(());
    }
    std::fs::create_dir_all(to).map_err(io("create", to))?;
    for entry in std::fs::read_dir(from).map_err(io("list", from))? {
        let path = entry.map_err(io("list", from))?.path();
        let Some(name) = path.file_name() else { continue };
        let target = to.join(name);
        if path.is_dir() {
            copy(&path, &target, without)?;
        } else {
            let content = std::fs::read(&path).map_err(io("read", &path))?;
            std::fs::write(&target, content).map_err(io("write", &target))?;
        }
    }
    Ok(())
}

/// Where a required module's source is; downloaded and checked against `go.sum` when missing.
///
/// # Errors
/// Go is missing or the download failed.
pub async fn module_dir(cache: &Cache, module: GoModule, path: &str) -> Result<PathBuf, SupplyError> {
    let source = materialise(cache, module)?;
    let answer =
        go(format!("download {path}"), &source).args(["mod", "download", "-json", path]).run().await?;
    let answer: serde_json::Value = serde_json::from_str(&answer).map_err(|error| {
        SupplyError::Unexpected { what: format!("`go mod download -json {path}`: {error}") }
    })?;
    match answer.get("Dir").and_then(|dir| dir.as_str()) {
        Some(dir) => Ok(PathBuf::from(dir)),
        None => Err(SupplyError::Unexpected { what: format!("`go mod download -json {path}` names no Dir") }),
    }
}

/// What the compiler is told; of several patterns that match a package, the last one counts.
///
/// Nobody debugs these programs, and the linker drops what debuggers read: making it takes a tenth of the time. Inlining
/// (off: `-l`) takes another tenth of Kubernetes' time and a fifth of Istio's. It stays on where these spend their time: the
/// standard library, encodings, gRPC.
const COMPILER: [&str; 4] = [
    "-gcflags=all=-dwarf=false",
    "-gcflags=k8s.io/...=-dwarf=false -l",
    "-gcflags=istio.io/...=-dwarf=false -l",
    "-gcflags=github.com/envoyproxy/...=-dwarf=false -l",
];

/// How far the compiler's heap may grow before it collects garbage (`GOGC`, percent), for so much memory available. A
/// compilation is short and most of what it allocates it needs: 400 takes a fifth less time than 100, 1600 another tenth.
fn garbage_percent(available: u64) -> &'static str {
    match available >> 30 {
        0..6 => "100",
        6..12 => "400",
        _ => "1600",
    }
}

fn go(doing: String, dir: &Path) -> Tool {
    // `-mod=readonly`: what go.sum does not know is refused, never added.
    Tool::new(doing, "go")
        .contained()
        .dir(dir)
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-mod=readonly -buildvcs=false")
        .env("GOWORK", "off")
        .env("GOGC", garbage_percent(memory_available()))
}

/// Writes the module's files to a directory of its own; the compiler needs them as files.
fn materialise(cache: &Cache, module: GoModule) -> Result<PathBuf, SupplyError> {
    let pinned = [("go.mod", module.go_mod), ("go.sum", module.go_sum)];
    let files = || pinned.into_iter().chain(module.own.iter().copied());
    let digest = files().fold(Inputs::new(module.name), |inputs, (name, text)| inputs.with(name, text)).key();
    let dir = cache.dir("go")?.join(digest.to_string());
    for (name, text) in files() {
        let file = dir.join(name);
        let folder = file.parent().unwrap_or(&dir);
        std::fs::create_dir_all(folder).map_err(io("create", folder))?;
        if std::fs::read_to_string(&file).is_ok_and(|found| found == text) {
            continue;
        }
        let mut new = tempfile::NamedTempFile::new_in(folder).map_err(io("write in", folder))?;
        std::io::Write::write_all(&mut new, text.as_bytes()).map_err(io("write", &file))?;
        new.persist(&file).map_err(|error| io("replace", &file)(error.error))?;
    }
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supply::pins;

    fn build() -> GoBuild {
        GoBuild {
            name: "etcd",
            module: pins::ETCD,
            programs: vec![("go.etcd.io/etcd/server/v3", "etcd")],
            tags: "",
            stamps: vec![("a.b/c.D".to_owned(), "v1".to_owned())],
            beside: None,
        }
    }

    #[test]
    fn a_module_is_put_beside_without_the_package_that_is_not_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        for name in ["go.mod", "challenge/challenge.go", "providers/dns/one/one.go", "providers/http/http.go"]
        {
            let file = from.join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, name).unwrap();
        }
        let beside = Beside {
            pinned: pins::LEGO,
            path: "github.com/go-acme/lego/v5",
            folder: "lego",
            without: "providers/dns",
            instead: ("dns.go", "package dns"),
        };
        for _ in 0..2 {
            beside.put(&from, &to).unwrap();
            let there = |name: &str| to.join(name).is_file();
            assert!(
                there("challenge/challenge.go")
                    && there("providers/http/http.go")
                    && there("providers/dns/dns.go")
            );
            assert!(!there("providers/dns/one/one.go"));
        }
        assert_ne!(GoBuild { beside: Some(beside), ..build() }.key(), build().key());
    }

    #[test]
    fn stamps_are_part_of_the_key_and_of_the_flags() {
        let mut other = build();
        other.stamps[0].1 = "v2".to_owned();
        assert_ne!(build().key(), other.key());
        assert_ne!(build().key(), GoBuild { tags: "netgo", ..build() }.key());
        assert_eq!(build().ldflags(), "-s -w -X a.b/c.D=v1");
    }

    #[test]
    fn compilers_waste_no_memory_that_is_not_there() {
        let percents = [0, 5, 6, 11, 12, 64].map(|gib: u64| garbage_percent(gib << 30));
        assert_eq!(percents, ["100", "100", "400", "400", "1600", "1600"]);
    }

    #[test]
    fn a_module_is_written_as_pinned_and_repaired_when_edited() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let source = materialise(&cache, pins::KIND).unwrap();
        std::fs::write(source.join("go.mod"), "module broken").unwrap();
        let again = materialise(&cache, pins::KIND).unwrap();
        assert_eq!(source, again);
        assert_eq!(std::fs::read_to_string(source.join("go.mod")).unwrap(), pins::KIND.go_mod);
    }
}
