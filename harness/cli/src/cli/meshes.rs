//! `meshproof meshes`: scenarios on meshes as strangers have them, with nothing given but the name of a context.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use clap::Args;
use tokio::process::Command;

use super::exit;
use meshproof_lab::cluster::{
    ApiError, Cluster, ClusterError, ClusterSpec, IstioChoice, ensure_cluster, remove_cluster,
};
use meshproof_lab::supply::{ImageSource, workspace};
use meshproof_model::foreign::{Expected, FOLDER, ForeignMesh, Outcome, against};
use meshproof_model::progress::{Phase, Progress};
use meshproof_model::scenario::node::closest;

/// Name of the cluster that plays the stranger's.
const CLUSTER: &str = "meshproof-stranger";

/// Arguments of `meshproof meshes`.
#[derive(Debug, Clone, Args)]
pub struct MeshesArgs {
    /// Meshes; without any, all
    pub ids: Vec<String>,
    /// Say which there are, and run nothing
    #[arg(long)]
    pub list: bool,
    /// Leave the cluster, with the last mesh in it
    #[arg(long)]
    pub keep: bool,
    /// Where images and programs come from
    #[arg(long, value_name = "registry|source|auto", default_value_t)]
    pub image_source: ImageSource,
    /// Where to write what the runs printed and their results: one folder for each mesh
    #[arg(long, value_name = "FOLDER", default_value = "target/meshproof/meshes")]
    pub results: PathBuf,
}

/// Runs `meshproof meshes`; the exit code.
pub async fn run(args: &MeshesArgs, progress: &dyn Progress) -> u8 {
    let meshes = match workspace::root().map(|root| ForeignMesh::load_all(&root.join(FOLDER))) {
        Ok(Ok(meshes)) => meshes,
        Ok(Err(error)) => {
            eprintln!("{error}");
            return exit::USAGE;
        }
        Err(error) => {
            eprintln!("{error}");
            return exit::SETUP;
        }
    };
    let chosen = match chosen(meshes, &args.ids) {
        Ok(chosen) => chosen,
        Err(why) => {
            eprintln!("nothing selected: {why}");
            return exit::NOTHING;
        }
    };
    if args.list {
        chosen.iter().for_each(|mesh| println!("{}  {}", mesh.id, mesh.about));
        return exit::PROVED;
    }
    match on_all(args, &chosen, progress).await {
        Ok(true) => exit::PROVED,
        Ok(false) => exit::FAILED,
        Err(error) => {
            eprintln!("{error}");
            exit::of(&error)
        }
    }
}

fn chosen(all: Vec<ForeignMesh>, ids: &[String]) -> Result<Vec<ForeignMesh>, String> {
    let known: Vec<&str> = all.iter().map(|mesh| mesh.id.as_str()).collect();
    if let Some(unknown) = ids.iter().find(|id| !known.contains(&id.as_str())) {
        let near = closest(unknown, &known).map(|near| format!("; did you mean `{near}`?"));
        return Err(format!("there is no mesh `{unknown}`{}", near.unwrap_or_default()));
    }
    Ok(all.into_iter().filter(|mesh| ids.is_empty() || ids.contains(&mesh.id)).collect())
}

/// Whether all runs came to what was expected.
async fn on_all(
    args: &MeshesArgs,
    meshes: &[ForeignMesh],
    progress: &dyn Progress,
) -> Result<bool, ClusterError> {
    let spec = ClusterSpec {
        name: CLUSTER.to_owned(),
        istio: IstioChoice::None,
        image_source: args.image_source,
        ..ClusterSpec::default()
    };
    let cluster = ensure_cluster(&spec, progress).await?;
    let mut good = true;
    for (at, mesh) in meshes.iter().enumerate() {
        let phase = Phase::start(progress, format!("mesh {}: {}", mesh.id, mesh.about), None);
        // What a run that was killed has left would be in the way.
        cluster.remove_foreign(mesh).await?;
        cluster.make_foreign(mesh).await?;
        phase.done();
        for expected in &mesh.runs {
            good &= on_one(args, &cluster, mesh, expected).await?;
        }
        if !args.keep || at + 1 < meshes.len() {
            cluster.remove_foreign(mesh).await?;
        }
    }
    if !args.keep {
        remove_cluster(CLUSTER, progress).await?;
    }
    Ok(good)
}

async fn on_one(
    args: &MeshesArgs,
    cluster: &Cluster,
    mesh: &ForeignMesh,
    expected: &Expected,
) -> Result<bool, ClusterError> {
    let gateway = expected.implementation.as_ref().and_then(|file| file.file_stem()?.to_str());
    let run = [Some(expected.scenario.as_str()), gateway].into_iter().flatten().collect::<Vec<_>>().join("-");
    let folder = args.results.join(&mesh.id).join(&run);
    let before = cluster.holdings().await?;
    let (exit, output) = run_there(cluster, expected, &folder).await.map_err(|error| ApiError::Manifest {
        name: format!("the run on mesh {}", mesh.id),
        reason: error.to_string(),
    })?;
    let after = cluster.holdings().await?;
    let against = against(expected, &Outcome { exit, output, before, after });
    let (sign, why) = match &against {
        None => ("✓", format!("exit code {}: {}", expected.exit, expected.says.join("; "))),
        Some(why) => ("✗", format!("{why}; what it printed is in {}", folder.join(PRINTED).display())),
    };
    println!("{sign} {}, {run}: {why}", mesh.id);
    Ok(against.is_none())
}

/// What a run printed.
const PRINTED: &str = "printed.txt";

/// Runs a scenario as a person would who has only a kubeconfig.
async fn run_there(
    cluster: &Cluster,
    expected: &Expected,
    folder: &Path,
) -> std::io::Result<(Option<u8>, String)> {
    std::fs::create_dir_all(folder)?;
    let mut command = Command::new(std::env::current_exe()?);
    if let Some(file) = &expected.implementation {
        let root = workspace::root().map_err(std::io::Error::other)?;
        command.arg("run").arg("--implementation").arg(root.join(file));
    } else {
        command.arg("run").env_remove("MESHPROOF_IMPLEMENTATION");
    }
    let ran = command
        .args([expected.scenario.as_str(), "--verbose", "--context", &cluster.context, "--results"])
        .arg(folder)
        .env("KUBECONFIG", &cluster.kubeconfig)
        .env_remove("MESHPROOF_CLUSTER")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let output = text(&ran.stdout) + &text(&ran.stderr);
    std::fs::write(folder.join(PRINTED), &output)?;
    Ok((ran.status.code().and_then(|code| u8::try_from(code).ok()), output))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mesh_that_is_not_there_is_told_with_one_that_is() {
        let folder = workspace::root().unwrap().join(FOLDER);
        let all = || ForeignMesh::load_all(&folder).unwrap();
        assert_eq!(chosen(all(), &[]).unwrap().len(), all().len());
        assert_eq!(chosen(all(), &["stock".to_owned()]).unwrap().len(), 1);
        assert!(chosen(all(), &["stok".to_owned()]).unwrap_err().contains("did you mean `stock`"));
    }
}
