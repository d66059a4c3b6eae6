//! How the nodes of an existing cluster get the images of this workspace.

use meshproof_lab::cache::Cache;
use meshproof_lab::cluster::implementation::Implementation;
use meshproof_lab::cluster::{addons, docker, node};
use meshproof_lab::command::CommandError;
use meshproof_lab::engine::{self, Engine};
use meshproof_lab::supply::LoadImage;

use meshproof_lab::cluster::ClusterError;

/// The backend of the scenarios, and the client inside the cluster.
const ECHO: &str = "echo";

/// An image that is needed was not built.
#[derive(Debug)]
pub(super) struct NoImage(pub(super) String);

/// Those of the images that this implementation and the scenarios need.
pub(super) fn needed(
    implementation: &Implementation,
    built: Vec<LoadImage>,
) -> Result<Vec<LoadImage>, NoImage> {
    let names = implementation.images().into_iter().chain([ECHO.to_owned()]);
    // The mesh's own Envoy is where the mesh is.
    let names = names.filter(|name| name != "proxyv2");
    names.map(|name| addons::image(&built, &name).cloned().ok_or(NoImage(name))).collect()
}

/// The same images by the names under which the nodes can pull them.
pub(super) fn from(prefix: &str, images: Vec<LoadImage>) -> Vec<LoadImage> {
    let named = images.into_iter().map(|image| LoadImage { reference: pushed(prefix, &image), ..image });
    named.collect()
}

/// `<prefix>/<name>:<tag>`.
fn pushed(prefix: &str, image: &LoadImage) -> String {
    let name = image.reference.rsplit('/').next().unwrap_or(&image.reference);
    format!("{}/{name}", prefix.trim_end_matches('/'))
}

/// What to do so that the nodes have them: a line for people, then commands.
pub(super) fn advice(images: &[LoadImage]) -> Vec<String> {
    let mut lines = vec![
        "its nodes do not have the images of this workspace, and it is no kind cluster of the Docker Engine here; push \
         them where the nodes can pull them, with PREFIX in front, and add --images-from PREFIX:"
            .to_owned(),
    ];
    lines.extend(images.iter().map(|image| {
        let (archive, reference) = (image.archive.display(), &image.reference);
        let pushed = pushed("PREFIX", image);
        format!("docker load -i {archive} && docker tag {reference} {pushed} && docker push {pushed}")
    }));
    lines
}

/// The nodes of a kind cluster in an engine of this host.
pub(super) struct KindNodes {
    engine: Engine,
    nodes: Vec<String>,
}

/// The nodes behind a context, if it is a kind cluster in the engine that answers here: the server it names must be
/// the control plane's port.
pub(super) async fn kind_nodes(
    cache: &Cache,
    context: &str,
    server: &str,
) -> Result<Option<KindNodes>, ClusterError> {
    let Some(name) = context.strip_prefix("kind-") else { return Ok(None) };
    let Some(engine) = engine::find(cache).await? else { return Ok(None) };
    let nodes = docker::containers(&engine, name).await?;
    let control_plane = format!("{name}-control-plane");
    if !nodes.iter().any(|node| node.name == control_plane && node.state.runs()) {
        return Ok(None);
    }
    let port = ["port", &control_plane, "6443/tcp"];
    let port = docker::docker(&engine, "asking for the API server's port", &port).run().await?;
    let same = port.lines().any(|line| same_port(line, server));
    let nodes = nodes.into_iter().filter(|node| node.state.runs()).map(|node| node.name).collect();
    Ok(same.then_some(KindNodes { engine, nodes }))
}

/// Whether `127.0.0.1:40001` and `https://127.0.0.1:40001` have one port.
fn same_port(published: &str, server: &str) -> bool {
    let port = |text: &str| text.trim().trim_end_matches('/').rsplit(':').next().map(str::to_owned);
    port(published).is_some_and(|port_| Some(port_) == port(server))
}

impl KindNodes {
    /// Imports the images into every node.
    pub(super) async fn load(&self, images: &[LoadImage]) -> Result<(), CommandError> {
        let images: Vec<&LoadImage> = images.iter().collect();
        let loads = self.nodes.iter().map(|name| node::import_all(&self.engine, name, &images));
        futures::future::try_join_all(loads).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: &str) -> LoadImage {
        LoadImage {
            reference: format!("localhost/meshproof/{name}:abc"),
            archive: format!("/c/{name}.tar").into(),
        }
    }

    #[test]
    fn images_that_were_pushed_have_the_prefix_in_front() {
        let images = from("registry.example/team/", vec![image("echo")]);
        assert_eq!(images[0].reference, "registry.example/team/echo:abc");
    }

    #[test]
    fn only_what_is_used_is_needed() {
        let alb = Implementation::built_in().unwrap();
        let built =
            ["echo", "alb-proxy", "alb-controller", "alb-controller-istio-extension", "load-balancer"];
        let needed = needed(&alb, built.map(image).to_vec()).unwrap();
        let names: Vec<_> = needed.iter().map(|image| image.reference.as_str()).collect();
        assert_eq!(names.len(), 4);
        assert!(!names.iter().any(|name| name.contains("load-balancer")), "{names:?}");
        assert_eq!(super::needed(&alb, vec![image("echo")]).unwrap_err().0, "alb-controller");
    }

    #[test]
    fn how_to_push_is_said_as_commands() {
        let advice = advice(&[image("echo")]);
        assert_eq!(
            advice[1],
            "docker load -i /c/echo.tar && docker tag localhost/meshproof/echo:abc PREFIX/echo:abc && docker push \
             PREFIX/echo:abc"
        );
    }

    #[test]
    fn a_context_is_the_cluster_its_server_leads_to() {
        assert!(same_port("127.0.0.1:40001\n", "https://127.0.0.1:40001"));
        assert!(!same_port("127.0.0.1:40001", "https://127.0.0.1:40002"));
    }
}
