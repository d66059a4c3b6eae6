//! Installing and removing the gateway under test.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use gateway_api::apis::standard::gatewayclasses::GatewayClass;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ListParams};
use kube::core::PartialObjectMeta;
use kube::{Client, ResourceExt};
use serde_json::Value;

use super::api::{ApiError, deployment_shortfall, pods_shortfall, wait, wait_for_replicas};
use super::error::InstallError;
use super::installed::{self, Stamp, State, stamp_file};
use super::namespaces::outlast_removal;
use super::owner;
use super::state::StateDir;
use crate::command::Tool;
use crate::supply::LoadImage;
use meshproof_model::implementation::merge;
pub use meshproof_model::implementation::{Implementation, Release};
use meshproof_model::scenario::limits::OWN_INSTALL;
use meshproof_model::scenario::placeholder::{Values, substitute_by};

/// What to install of an implementation, and how.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct InstallOptions {
    /// Values over those of the implementation, by release name.
    pub values: BTreeMap<String, Value>,
    /// Namespace of the releases instead of their own.
    pub namespace: Option<String>,
    /// Leave out the releases that live in the mesh.
    pub without_extension: bool,
    /// Only the releases of these names; all if empty.
    pub only: Vec<String>,
    /// Return as soon as helm does.
    pub no_wait: bool,
}

/// Time for pods of a release to become ready.
const READY: Duration = Duration::from_secs(180);

/// For the GatewayClass of an implementation that comes with Istio to be accepted.
const ACCEPTED: Duration = Duration::from_secs(60);

/// For a GatewayClass that is accepted to say what is claimed.
const CLAIMED: Duration = Duration::from_secs(10);

impl InstallOptions {
    /// The releases of a gateway that these options ask for, with their values and namespaces; `image` has the values of the
    /// images' placeholders.
    ///
    /// # Errors
    /// The values name an image that is not among them.
    pub fn selected(&self, of: &Implementation, image: Values<'_>) -> Result<Vec<Release>, InstallError> {
        let asked_for = |name: &String| self.only.is_empty() || self.only.contains(name);
        let wanted = of.releases.iter().filter(|release| !(release.in_mesh && self.without_extension));
        let selected = wanted.filter(|release| asked_for(&release.name)).cloned().map(|mut release| {
            release.values = substitute_by(&release.values, image)
                .map_err(|placeholder| InstallError::ImageMissing(image_name(&placeholder).to_owned()))?;
            if let Some(values) = self.values.get(&release.name) {
                merge(&mut release.values, values);
            }
            if let Some(namespace) = &self.namespace {
                release.namespace.clone_from(namespace);
            }
            Ok(release)
        });
        selected.collect()
    }
}

/// The image a placeholder speaks of.
pub(super) fn image_name(placeholder: &str) -> &str {
    let name = placeholder.strip_prefix("images.").unwrap_or(placeholder);
    name.split_once('.').map_or(name, |(name, _)| name)
}

/// The value of `images.<name>`, `images.<name>.repository` or `images.<name>.tag`.
fn image_value(references: &BTreeMap<String, String>, placeholder: &str) -> Option<String> {
    placeholder.strip_prefix("images.")?;
    let reference = references.get(image_name(placeholder))?;
    let (repository, tag) = reference.rsplit_once(':').unwrap_or((reference.as_str(), "latest"));
    match placeholder.rsplit('.').next() {
        Some("repository") => Some(repository.to_owned()),
        Some("tag") => Some(tag.to_owned()),
        _ => Some(reference.clone()),
    }
}

/// References of images by the names that implementation files have for them.
fn references(images: &[LoadImage]) -> BTreeMap<String, String> {
    let named = images.iter().filter_map(|image| {
        let (repository, _) = image.reference.rsplit_once(':')?;
        Some((repository.rsplit('/').next()?.to_owned(), image.reference.clone()))
    });
    named.collect()
}

/// Values of the images' placeholders: those that were made, and the mesh's own Envoy.
pub fn image_values(images: &[LoadImage], proxy: Option<&str>) -> impl Fn(&str) -> Option<String> {
    let mut references = references(images);
    references.extend(proxy.map(|proxy| ("proxyv2".to_owned(), proxy.to_owned())));
    move |placeholder| image_value(&references, placeholder)
}

/// Whether the controller has accepted its class.
fn is_accepted(class: Option<&GatewayClass>, controller: &str) -> bool {
    class.is_some_and(|class| {
        let conditions = class.status.as_ref().and_then(|status| status.conditions.as_ref());
        class.spec.controller_name == controller
            && conditions.into_iter().flatten().any(|c| c.type_ == "Accepted" && c.status == "True")
    })
}

/// Whether the class of an implementation is there and accepted.
pub(crate) async fn class_is_accepted(client: &Client, of: &Implementation) -> Result<bool, ApiError> {
    let classes: Api<GatewayClass> = Api::all(client.clone());
    match classes.get_opt(&of.gateway_class).await {
        Ok(class) => Ok(is_accepted(class.as_ref(), &of.controller)),
        // Nobody has heard of the Gateway API.
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(false),
        Err(source) => {
            let doing = format!("looking for GatewayClass {}", of.gateway_class);
            Err(ApiError::Request { doing, source: Box::new(source) })
        }
    }
}

/// Waits until the class of an implementation is accepted; says so.
pub(crate) async fn wait_for_class(
    client: &Client,
    implementation: &Implementation,
) -> Result<String, InstallError> {
    let (class, controller) = (&implementation.gateway_class, &implementation.controller);
    let accepted = |object: Option<&GatewayClass>| is_accepted(object, controller);
    match wait(Api::all(client.clone()), class, accepted, ACCEPTED).await? {
        true => {
            let installed = implementation.is_installed_by_us();
            let nothing = if installed { "" } else { "nothing to install: " };
            Ok(format!("{nothing}GatewayClass {class} of {controller} is accepted"))
        }
        false => Err(InstallError::NoClass {
            class: class.clone(),
            controller: controller.clone(),
            limit: ACCEPTED.as_secs(),
        }),
    }
}

/// The features that an implementation claims in its GatewayClass's status (Gateway API, `GatewayClassStatus.supportedFeatures`),
/// as soon as the class is accepted and says any; none if it says none in time.
///
/// # Errors
/// The class is not accepted in time, or cannot be read.
pub async fn claimed_features(
    client: &Client,
    implementation: &Implementation,
) -> Result<BTreeSet<String>, InstallError> {
    wait_for_class(client, implementation).await?;
    let api: Api<GatewayClass> = Api::all(client.clone());
    let says = |object: Option<&GatewayClass>| !features_of(object).is_empty();
    wait(api.clone(), &implementation.gateway_class, says, CLAIMED).await?;
    let doing = format!("reading GatewayClass {}", implementation.gateway_class);
    let class = api
        .get_opt(&implementation.gateway_class)
        .await
        .map_err(|source| ApiError::Request { doing, source: Box::new(source) })?;
    Ok(features_of(class.as_ref()))
}

fn features_of(class: Option<&GatewayClass>) -> BTreeSet<String> {
    let features = class.and_then(|class| class.status.as_ref()?.supported_features.as_ref());
    features.into_iter().flatten().map(|feature| feature.name.clone()).collect()
}

/// helm for one cluster. Nothing of the user's helm is read or written.
#[derive(Debug, Clone)]
pub(crate) struct Helm {
    program: PathBuf,
    kubeconfig: PathBuf,
    state: StateDir,
    run: String,
}

impl Helm {
    /// For whoever installs: the id of a run, or [`owner::UP`].
    pub(crate) fn new(program: &Path, state: &StateDir, kubeconfig: &Path, run: &str) -> Self {
        let (program, kubeconfig) = (program.to_owned(), kubeconfig.to_owned());
        Self { program, kubeconfig, state: state.clone(), run: run.to_owned() }
    }

    /// Environment of helm: which cluster, and a home of its own.
    pub(crate) fn env(&self) -> Vec<(&'static str, PathBuf)> {
        let home = self.state.path().join("helm");
        vec![
            ("KUBECONFIG", self.kubeconfig.clone()),
            ("HELM_CACHE_HOME", home.join("cache")),
            ("HELM_CONFIG_HOME", home.join("config")),
            ("HELM_DATA_HOME", home.join("data")),
        ]
    }

    pub(crate) fn tool(&self, doing: String) -> Tool {
        let tool = Tool::new(doing, &self.program);
        self.env().into_iter().fold(tool, |tool, (name, value)| tool.env(name, value))
    }

    /// Installs a release, or brings it to these values if it is there. Does not wait for pods.
    pub(crate) async fn install(&self, client: &Client, release: &Release) -> Result<String, InstallError> {
        self.refuse_foreign(client, &release.name).await?;
        let chart = self.chart(release).await?;
        let status = status(client, release).await?;
        let values = self.state.write_file(&values_file(release), &values_text(release))?;
        if status.as_deref().is_some_and(|status| status != "deployed") {
            // A killed helm left it half-way; helm itself would refuse to go on.
            self.uninstall(release).await?;
        }
        let (verb, done) = match status.as_deref() {
            Some("deployed") => ("upgrade", "upgraded"),
            _ => ("install", "installed"),
        };
        let mut tool = self
            .tool(format!("{verb} release {}", release.name))
            .args([verb, &release.name, &chart, "--version", &release.version])
            .args(["--namespace", &release.namespace])
            // The API server validates what it is sent; helm's own check costs it a whole OpenAPI document.
            .arg("--disable-openapi-validation")
            .arg("--values")
            .arg(values);
        if verb == "install" {
            outlast_removal(client, &release.namespace).await?;
            owner::releases::make_namespace(client, &release.namespace, &self.run).await?;
            tool = tool.arg("--labels").arg(format!("{}={}", owner::LABEL, self.run));
        }
        tool.run().await?;
        owner::releases::label_namespaces(client, &release.name, &release.namespace, &self.run).await?;
        let record = newest(client, release).await?.and_then(|record| record.uid()).unwrap_or_default();
        let stamp = Stamp::of(release, record)
            .map_err(|source| InstallError::Chart { release: release.name.clone(), source })?;
        self.state.write_file(&stamp_file(release), &stamp.to_bytes())?;
        Ok(format!("{done} {} {} in {}", release.name, release.version, release.namespace))
    }

    /// The chart to install. One on this host that is another version than the one to be installed is refused, as helm would take it
    /// all the same; unless the document installs it under that version in another edition: then it is packaged so.
    async fn chart(&self, release: &Release) -> Result<String, InstallError> {
        if !Path::new(&release.chart).exists() {
            return Ok(release.chart.clone());
        }
        let doing = format!("reading the chart of release {}", release.name);
        let chart = self.tool(doing).args(["show", "chart", &release.chart]).run().await?;
        match version_of(&chart) {
            Some(found) if found == release.version => Ok(release.chart.clone()),
            Some(_) if release.is_of_another_edition() => {
                let folder = self.state.path().join("charts");
                self.tool(format!("packaging the chart of release {} as {}", release.name, release.version))
                    .args(["package", &release.chart, "--version", &release.version, "--destination"])
                    .arg(&folder)
                    .run()
                    .await?;
                let name = name_of(&chart).unwrap_or_else(|| release.name.clone());
                Ok(folder.join(format!("{name}-{}.tgz", release.version)).display().to_string())
            }
            found => Err(InstallError::OtherVersion {
                release: release.name.clone(),
                chart: release.chart.clone(),
                found: found.unwrap_or_else(|| "none".to_owned()),
                wanted: release.version.clone(),
            }),
        }
    }

    /// Refuses to touch a release that somebody else has installed. One without a label whose values are to the letter those that
    /// this program has written down when it installed it is its own, from a time before there were labels, and gets one.
    pub(crate) async fn refuse_foreign(&self, client: &Client, name: &str) -> Result<(), InstallError> {
        for namespace in owner::releases::foreign(client, name).await? {
            if !self.wrote(name, &namespace).await {
                return Err(InstallError::NotOurs(format!("helm release {name} in {namespace}")));
            }
            owner::releases::claim(client, name, &namespace).await?;
        }
        Ok(())
    }

    async fn wrote(&self, name: &str, namespace: &str) -> bool {
        let written =
            std::fs::read(self.state.path().join(format!("values-{name}.json"))).unwrap_or_default();
        let Ok(written) = serde_json::from_slice::<Value>(&written) else { return false };
        let args = ["get", "values", name, "--namespace", namespace, "--output", "json"];
        let installed = self.tool(format!("reading the values of release {name}")).args(args).run().await;
        let installed = installed.ok().and_then(|text| serde_json::from_str::<Value>(&text).ok());
        installed.is_some_and(|installed| installed == written && installed.is_object())
    }

    /// What is there of the release: values, chart and helm's record, against what this program wrote down.
    pub(crate) async fn state(&self, client: &Client, release: &Release) -> Result<State, InstallError> {
        let stamp = Stamp::read(&self.state.path().join(stamp_file(release)));
        let record = newest(client, release).await?;
        installed::state(release, stamp.as_ref(), record.as_ref())
            .map_err(|source| InstallError::Chart { release: release.name.clone(), source })
    }

    /// Removes a release and waits until its objects are gone.
    pub(crate) async fn uninstall(&self, release: &Release) -> Result<(), InstallError> {
        let args =
            ["uninstall", &release.name, "--namespace", &release.namespace, "--wait", "--ignore-not-found"];
        self.tool(format!("uninstall release {}", release.name)).args(args).run().await?;
        Ok(())
    }
}

/// The version that a chart says it is, in its Chart.yaml.
fn version_of(chart: &str) -> Option<String> {
    field_of(chart, "version")
}

/// What a chart is called, in its Chart.yaml.
fn name_of(chart: &str) -> Option<String> {
    field_of(chart, "name")
}

fn field_of(chart: &str, field: &str) -> Option<String> {
    let chart = meshproof_model::yaml::documents::<meshproof_model::yaml::Tree>(chart).ok()?;
    Some(chart.first()?.get(field)?.as_str()?.to_owned())
}

/// The values a release was last installed with.
fn values_file(release: &Release) -> String {
    format!("values-{}.json", release.name)
}

fn values_text(release: &Release) -> Vec<u8> {
    serde_json::to_vec_pretty(&release.values).unwrap_or_default()
}

/// helm's own record of a release: its status, from the newest revision.
async fn status(client: &Client, release: &Release) -> Result<Option<String>, ApiError> {
    Ok(newest(client, release).await?.and_then(|secret| secret.labels().get("status").cloned()))
}

/// helm's record of the newest revision of a release.
async fn newest(client: &Client, release: &Release) -> Result<Option<PartialObjectMeta<Secret>>, ApiError> {
    Ok(records(Api::namespaced(client.clone(), &release.namespace), &release.name)
        .await?
        .into_iter()
        .max_by_key(|secret| {
            secret.labels().get("version").and_then(|version| version.parse::<u32>().ok()).unwrap_or_default()
        }))
}

/// Namespaces in which a release of this name is installed, whole or half-way.
pub async fn installed_in(client: &Client, release: &str) -> Result<Vec<String>, ApiError> {
    let records = records(Api::all(client.clone()), release).await?;
    let namespaces: BTreeSet<String> = records.iter().filter_map(ResourceExt::namespace).collect();
    Ok(namespaces.into_iter().collect())
}

/// helm's records of a release in these namespaces.
async fn records(secrets: Api<Secret>, name: &str) -> Result<Vec<PartialObjectMeta<Secret>>, ApiError> {
    let params = ListParams::default().labels(&format!("owner=helm,name={name}"));
    let list = secrets.list_metadata(&params).await.map_err(|source| ApiError::Request {
        doing: format!("looking for release {name}"),
        source: Box::new(source),
    })?;
    Ok(list.items)
}

/// Waits until every Deployment of the release is ready.
pub(crate) async fn wait_until_ready(
    client: &Client,
    release: &Release,
    limit: Duration,
) -> Result<(), ApiError> {
    wait_for_all(client, &release.deployments, deployment_shortfall, limit).await
}

/// How long pods of a release may take to become ready.
pub(crate) fn ready_within(of: &Implementation) -> Duration {
    of.limits.get(OWN_INSTALL).copied().unwrap_or(READY)
}

/// Waits until every Deployment of the release has its pods, ready or not.
pub(crate) async fn wait_until_populated(client: &Client, release: &Release) -> Result<(), ApiError> {
    wait_for_all(client, &release.deployments, pods_shortfall, READY).await
}

/// Waits for Deployments (namespace, name).
pub(crate) async fn wait_for_all(
    client: &Client,
    deployments: &[(String, String)],
    shortfall: fn(&Deployment) -> Option<String>,
    limit: Duration,
) -> Result<(), ApiError> {
    let waits = deployments.iter().map(|(ns, name)| wait_for_replicas(client, ns, name, shortfall, limit));
    futures::future::try_join_all(waits).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn images() -> Vec<LoadImage> {
        ["alb-controller", "alb-proxy", "alb-controller-istio-extension"]
            .into_iter()
            .map(|name| LoadImage {
                reference: format!("localhost/meshproof/{name}:abc"),
                archive: "a".into(),
            })
            .collect()
    }

    fn selected(options: &InstallOptions) -> Vec<Release> {
        options.selected(&Implementation::built_in().unwrap(), &image_values(&images(), None)).unwrap()
    }

    #[test]
    fn a_chart_says_which_version_it_is() {
        assert_eq!(version_of("apiVersion: v2\nname: a\nversion: 1.8.9\n").as_deref(), Some("1.8.9"));
        assert_eq!(version_of("name: a\n"), None);
        assert_eq!(version_of("not a chart"), None);
    }

    #[test]
    fn charts_get_the_images_of_this_build() {
        let values = &selected(&InstallOptions::default())[0].values;
        assert_eq!(
            values["image"],
            json!({"repository": "localhost/meshproof/alb-controller", "tag": "abc"})
        );
        assert_eq!(values["dataPlane"]["image"]["repository"], "localhost/meshproof/alb-proxy");
    }

    #[test]
    fn a_missing_image_is_named() {
        let implementation = Implementation::built_in().unwrap();
        let error = InstallOptions::default()
            .selected(&implementation, &image_values(&images()[..1], None))
            .unwrap_err();
        assert!(error.to_string().contains("alb-proxy is missing"), "{error}");
    }

    #[test]
    fn values_of_the_scenario_go_over_ours_key_by_key() {
        let over = json!({"dataPlane": {"testing": {"upstreamAlpn": "istio"}}});
        let options = InstallOptions {
            values: [("alb-controller".to_owned(), over)].into(),
            ..InstallOptions::default()
        };
        let releases = selected(&options);
        assert_eq!(releases[0].values["dataPlane"]["testing"]["upstreamAlpn"], "istio");
        assert_eq!(releases[0].values["dataPlane"]["image"]["tag"], "abc");
        assert_eq!(releases[1].values, selected(&InstallOptions::default())[1].values);
    }

    #[test]
    fn the_extension_can_be_left_out_and_the_namespace_chosen() {
        let options = InstallOptions {
            without_extension: true,
            namespace: Some("elsewhere".into()),
            ..InstallOptions::default()
        };
        let releases = selected(&options);
        assert_eq!(releases.len(), 1);
        assert_eq!(releases[0].namespace, "elsewhere");
        assert_eq!(releases[0].values["albController"]["namespace"], "azure-alb-system");
    }
}
