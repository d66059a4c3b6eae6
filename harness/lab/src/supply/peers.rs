//! Gateways that nobody here wrote, from pinned Go modules: their images and charts. Each is built only for an implementation that
//! names it, and then comes from the cache.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::archive::{self, Image, Layer, LayerFile};
use super::golang::{Beside, GoBuild, module_dir};
use super::node::OWN_IMAGES;
use super::pins::{self, Pins};
use super::source::need_go;
use super::{LoadImage, SupplyError};
use crate::cache::{Cache, CacheError, Inputs, Key, blocking, io};
use crate::host;
use meshproof_model::implementation::Implementation;
use meshproof_model::progress::Progress;
use meshproof_model::scenario::placeholder::fill_text;

/// Image of Envoy Gateway.
const ENVOY_GATEWAY: &str = "envoy-gateway";
/// Its chart.
const GATEWAY_HELM: &str = "gateway-helm";
/// Image of Traefik.
const TRAEFIK: &str = "traefik";
/// How images and charts are made of the programs, which no other input tells.
const LAYOUT: &str = "1";

/// Traefik's ACME client without its DNS providers, whose modules are not all served.
const LEGO: Beside = Beside {
    pinned: pins::LEGO,
    path: "github.com/go-acme/lego/v5",
    folder: "lego",
    without: "providers/dns",
    instead: ("dns.go", include_str!("../../../../kind-config/go/lego/dns.go")),
};

/// What an implementation needs of the gateways that are built here.
#[derive(Debug, Clone)]
pub struct Provided {
    /// The implementation, with the folders of its charts.
    pub implementation: Implementation,
    /// Images, to import into the nodes.
    pub images: Vec<LoadImage>,
}

/// A gateway as it is built.
struct Peer {
    /// Name of its image, which is that of its program.
    image: &'static str,
    version: String,
    build: GoBuild,
    /// Its chart, by name, if its module has one.
    chart: Option<&'static str>,
}

fn peers(pins: &Pins) -> [Peer; 2] {
    let one = |name: &'static str, module, package, stamps| GoBuild {
        name,
        module,
        programs: vec![(package, name)],
        tags: "",
        stamps,
        beside: None,
    };
    let stamp = |variable: &str, value: &str| vec![(variable.to_owned(), value.to_owned())];
    let (envoy_gateway, traefik) = (&pins.envoy_gateway.version, &pins.traefik.version);
    [
        Peer {
            image: ENVOY_GATEWAY,
            version: envoy_gateway.clone(),
            build: one(
                ENVOY_GATEWAY,
                pins::ENVOY_GATEWAY,
                "github.com/envoyproxy/gateway/cmd/envoy-gateway",
                stamp(
                    "github.com/envoyproxy/gateway/internal/cmd/version.envoyGatewayVersion",
                    envoy_gateway,
                ),
            ),
            chart: Some(GATEWAY_HELM),
        },
        Peer {
            image: TRAEFIK,
            version: traefik.clone(),
            build: GoBuild {
                beside: Some(LEGO),
                ..one(
                    TRAEFIK,
                    pins::TRAEFIK,
                    "github.com/traefik/traefik/v3/cmd/traefik",
                    stamp(
                        "github.com/traefik/traefik/v3/pkg/version.Version",
                        traefik.trim_start_matches('v'),
                    ),
                )
            },
            chart: None,
        },
    ]
}

/// Builds what an implementation names of these gateways, or takes it from the cache. One that names none costs nothing.
///
/// # Errors
/// Go is missing, a download or a build failed.
pub async fn provide(
    cache: &Cache,
    implementation: &Implementation,
    progress: &dyn Progress,
) -> Result<Provided, SupplyError> {
    let pins = Pins::load()?;
    let wanted = implementation.images();
    let named = |chart: &str| {
        implementation.releases.iter().any(|release| release.chart == format!("${{charts.{chart}}}"))
    };
    let (mut images, mut charts) = (Vec::new(), BTreeMap::new());
    for peer in peers(&pins) {
        let chart = peer.chart.filter(|chart| named(chart));
        if !wanted.contains(peer.image) && chart.is_none() {
            continue;
        }
        let folder = peer.make(cache, progress).await?;
        images.push(LoadImage { reference: peer.reference(), archive: folder.join("image.tar") });
        charts.extend(chart.map(|chart| (format!("charts.{chart}"), folder.join("chart"))));
    }
    Ok(Provided { implementation: with_charts(implementation, &charts), images })
}

/// The implementation with folders in the place of `${charts.NAME}`.
fn with_charts(of: &Implementation, charts: &BTreeMap<String, PathBuf>) -> Implementation {
    let mut of = of.clone();
    for release in &mut of.releases {
        let folder = |name: &str| charts.get(name).map(|folder| folder.display().to_string());
        // What is none of these is a chart of another kind, and stays.
        if let Ok(chart) = fill_text(&release.chart, &folder) {
            release.chart = chart;
        }
    }
    of
}

impl Peer {
    fn key(&self) -> Key {
        let inputs = Inputs::new(&format!("{}-image", self.image));
        inputs.with("program", self.build.key().digest).with("layout", LAYOUT).key()
    }

    fn reference(&self) -> String {
        format!("{OWN_IMAGES}/{}:{}-{}", self.image, self.version, self.build.key().digest)
    }

    /// The folder with `image.tar`, and `chart` where its module has one.
    async fn make(&self, cache: &Cache, progress: &dyn Progress) -> Result<PathBuf, SupplyError> {
        if cache.find(&self.build.key()).is_none() {
            need_go()?;
            host::ensure(cache, progress, host::BUILD).await?;
        }
        let program = self.build.build(cache, progress).await?.join(self.image);
        let phase = format!("put {} into an image", self.image);
        cache
            .entry(&self.key(), &phase, progress, |out| async move {
                if self.chart.is_some() {
                    let module =
                        module_dir(cache, pins::ENVOY_GATEWAY, "github.com/envoyproxy/gateway").await?;
                    chart(
                        &module.join("charts").join(GATEWAY_HELM),
                        &out.join("chart"),
                        &self.version,
                        &self.reference(),
                    )?;
                }
                let (image, tar) = (self.image(program), out.join("image.tar"));
                let to = tar.clone();
                blocking(move || archive::write(&[image], &to))
                    .await
                    .map_err(io("write the image to", &tar))?;
                Ok::<_, SupplyError>(())
            })
            .await
    }

    /// Its own chart and the pods that it makes call the program by its name.
    fn image(&self, program: PathBuf) -> Image {
        let path = format!("/usr/local/bin/{}", self.image);
        Image {
            references: vec![self.reference()],
            layers: vec![Layer::Files(vec![LayerFile { path: path.clone(), source: program, mode: 0o755 }])],
            entrypoint: vec![path],
            user: "65532:65532".to_owned(),
            ..Image::default()
        }
    }
}

/// Envoy Gateway's chart as its releases have it: its sources hold a template of the values, and the version is put in when it is
/// published. Its own definitions go with it as helm has them in one chart; those of the Gateway API are the cluster's.
fn chart(from: &Path, to: &Path, version: &str, image: &str) -> Result<(), SupplyError> {
    let templates = to.join("templates");
    copy(&from.join("templates"), &templates)?;
    copy(&from.join("charts/crds/crds/generated"), &to.join("crds"))?;
    let read = |name: &str| {
        let path = from.join(name);
        std::fs::read_to_string(&path).map_err(io("read", &path))
    };
    let write = |name: &str, text: String| {
        let path = to.join(name);
        std::fs::write(&path, text).map_err(io("write", &path))
    };
    write("Chart.yaml", released(&read("Chart.yaml")?, version))?;
    let value = |name: &str| match name {
        "GatewayImage" => Some(image.to_owned()),
        "GatewayImagePullPolicy" => Some("IfNotPresent".to_owned()),
        _ => None,
    };
    let values = fill_text(&read("values.tmpl.yaml")?, &value).map_err(|name| SupplyError::Unexpected {
        what: format!("values.tmpl.yaml of {GATEWAY_HELM} has a variable {name}, of which nothing is known"),
    })?;
    Ok(write("values.yaml", values)?)
}

/// A `Chart.yaml` with its version, and without the definitions as a chart of their own.
fn released(text: &str, version: &str) -> String {
    let (head, _) = text.split_once("\ndependencies:").unwrap_or((text, ""));
    let lines = head.lines().map(|line| match line.split_once(':') {
        Some((key @ ("version" | "appVersion"), _)) => format!("{key}: {version}"),
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// Copies the files of a folder; those of the module cache may not be written to.
fn copy(from: &Path, to: &Path) -> Result<(), CacheError> {
    std::fs::create_dir_all(to).map_err(io("create", to))?;
    for entry in std::fs::read_dir(from).map_err(io("list", from))? {
        let path = entry.map_err(io("list", from))?.path();
        let Some(name) = path.file_name().filter(|_| path.is_file()) else { continue };
        let content = std::fs::read(&path).map_err(io("read", &path))?;
        let target = to.join(name);
        std::fs::write(&target, content).map_err(io("write", &target))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::durations::FIRST_TIME;
    use crate::supply::source::{GoBuilds, istio};

    fn builds_of(pins: &Pins) -> Vec<GoBuild> {
        peers(pins).into_iter().map(|peer| peer.build).collect()
    }

    #[test]
    fn a_chart_is_released_under_its_version_and_without_others_definitions() {
        let text = "name: gateway-helm\nversion: v0.0.0-latest\nappVersion: \"latest\"\n\ndependencies:\n  - name: crds\n";
        assert_eq!(released(text, "v1.9.1"), "name: gateway-helm\nversion: v1.9.1\nappVersion: v1.9.1\n");
    }

    #[tokio::test]
    async fn nothing_is_built_for_a_gateway_that_names_none_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let alb = Implementation::built_in().unwrap();
        let provided = provide(&cache, &alb, &meshproof_model::progress::Silent).await.unwrap();
        assert!(provided.images.is_empty());
        assert_eq!(provided.implementation, alb);
    }

    #[test]
    fn what_takes_long_the_first_time_is_called_as_it_is_built() {
        let pins = Pins::load().unwrap();
        let builds = GoBuilds::new(&pins);
        let oldest = istio(pins::ISTIO_OLDEST, &pins.istio_versions.oldest);
        let peers = builds_of(&pins);
        let phases = builds.in_order().into_iter().chain([&oldest]).chain(&peers).map(GoBuild::phase);
        let phases: Vec<_> = phases.collect();
        for (phase, _) in FIRST_TIME {
            assert!(phases.iter().any(|known| known == phase), "{phase}");
        }
    }

    #[test]
    fn their_images_are_those_that_files_may_name() {
        let pins = Pins::load().unwrap();
        for peer in peers(&pins) {
            assert!(meshproof_model::workspace::PEER_IMAGES.contains(&peer.image), "{}", peer.image);
            assert!(peer.reference().starts_with(&format!("localhost/meshproof/{}:v", peer.image)));
            assert!(peer.chart.is_none_or(|chart| meshproof_model::workspace::CHARTS.contains(&chart)));
        }
    }
}
