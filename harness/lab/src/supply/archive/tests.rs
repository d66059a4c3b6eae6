use std::collections::BTreeMap;
use std::io::Read as _;

use super::*;
use meshproof_model::digest;

fn entries(archive: &Path) -> BTreeMap<String, Vec<u8>> {
    tar::Archive::new(File::open(archive).unwrap())
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_string_lossy().into_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (name, content)
        })
        .collect()
}

fn program(dir: &Path) -> PathBuf {
    let program = dir.join("built");
    std::fs::write(&program, "program").unwrap();
    program
}

#[test]
fn a_scratch_image_holds_its_program_and_runs_it_as_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("echo.tar");
    let image = Image::scratch("localhost/meshproof/echo:1".into(), "echo", program(dir.path()));
    let layers = write(&[image], &out).unwrap();
    let entries = entries(&out);

    let manifest: serde_json::Value = serde_json::from_slice(&entries["manifest.json"]).unwrap();
    assert_eq!(manifest[0]["RepoTags"][0], "localhost/meshproof/echo:1");
    let config: serde_json::Value =
        serde_json::from_slice(&entries[manifest[0]["Config"].as_str().unwrap()]).unwrap();
    assert_eq!(config["config"]["Entrypoint"][0], "/echo");
    assert_eq!(config["config"]["User"], "65532:65532");

    let layer = &entries[manifest[0]["Layers"][0].as_str().unwrap()];
    // The configuration's diff id is the digest of the layer as stored.
    let digest = format!("sha256:{}", hex(&Sha256::digest(layer)));
    assert_eq!(config["rootfs"]["diff_ids"][0], digest.as_str());
    assert_eq!(layers, [digest]);

    let mut layer = tar::Archive::new(layer.as_slice());
    let file = layer.entries().unwrap().next().unwrap().unwrap();
    assert_eq!(file.path().unwrap(), Path::new("echo"));
    assert_eq!(file.header().mode().unwrap(), 0o755);
    assert_eq!(file.header().uid().unwrap(), 0);
}

#[test]
fn equal_input_makes_an_equal_archive() {
    let dir = tempfile::tempdir().unwrap();
    let image = Image::scratch("a:1".into(), "a", program(dir.path()));
    let (one, two) = (dir.path().join("1.tar"), dir.path().join("2.tar"));
    write(std::slice::from_ref(&image), &one).unwrap();
    write(&[image], &two).unwrap();
    assert_eq!(std::fs::read(one).unwrap(), std::fs::read(two).unwrap());
}

#[test]
fn a_shared_layer_is_stored_once() {
    let dir = tempfile::tempdir().unwrap();
    let program = program(dir.path());
    let base = dir.path().join("base.tar");
    std::fs::write(&base, "base").unwrap();
    let image = |reference: &str, path: &str| Image {
        references: vec![reference.into()],
        layers: vec![
            Layer::Tar(base.clone()),
            Layer::Files(vec![LayerFile { path: path.into(), source: program.clone(), mode: 0o755 }]),
        ],
        ..Image::default()
    };
    let out = dir.path().join("all.tar");
    let layers = write(&[image("a:1", "/usr/local/bin/a"), image("b:1", "/b")], &out).unwrap();
    assert_eq!(layers.len(), 3);
    assert_eq!(entries(&out).keys().filter(|name| name.ends_with("/layer.tar")).count(), 3);
}

#[test]
fn directories_come_before_their_files_and_once() {
    let dir = tempfile::tempdir().unwrap();
    let program = program(dir.path());
    let file = |path: &str| LayerFile { path: path.into(), source: program.clone(), mode: 0o644 };
    let mut layer = layer_tar(&[file("/usr/local/bin/a"), file("/usr/local/share/b")], dir.path()).unwrap();
    layer.rewind().unwrap();
    let names: Vec<String> = tar::Archive::new(layer)
        .entries()
        .unwrap()
        .map(|e| e.unwrap().path().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(
        names,
        ["usr", "usr/local", "usr/local/bin", "usr/local/bin/a", "usr/local/share", "usr/local/share/b"]
    );
}

#[test]
fn an_image_is_known_by_its_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let saved = |program: &str| {
        let source = folder.path().join("program");
        std::fs::write(&source, program).unwrap();
        let archive = folder.path().join(format!("{program}.tar"));
        let image = Image::scratch("localhost/meshproof/echo:abc".into(), "echo", source);
        write(&[image], &archive).unwrap();
        archive
    };
    let (one, two) = (saved("one"), saved("two"));
    let known = digest::image(&one, "localhost/meshproof/echo:abc").unwrap();
    assert_eq!(known.len(), "sha256:".len() + 64, "{known}");
    assert_eq!(digest::image(&one, "registry.example/team/echo:abc").unwrap(), known);
    assert_ne!(digest::image(&two, "localhost/meshproof/echo:abc").unwrap(), known);
    let error = digest::image(&one, "localhost/meshproof/proxy:abc").unwrap_err().to_string();
    assert!(error.contains("proxy:abc") && error.contains("one.tar"), "{error}");
}
