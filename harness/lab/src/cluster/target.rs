//! A cluster as scenarios need it, whoever made it: the kind cluster of [`super::ensure_cluster`], or an existing one.

use std::path::PathBuf;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, DeleteParams};

use meshproof_model::provider::Provider;

use super::api::{self, ApiError};
use super::holdings::Holdings;
use super::implementation::{
    Helm, Implementation, InstallOptions, Release, image_values, installed_in, ready_within, wait_for_all,
    wait_for_class, wait_until_ready,
};
use super::installed::{self, State};
use super::state::StateDir;
use super::{Cluster, ClusterError, beside, dns, namespaces, owner};
use crate::cluster::error::InstallError;
use crate::supply::LoadImage;
use meshproof_model::progress::{Phase, Progress};

/// Of which namespaces evidence is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Keeping {
    /// All that are looked into: on a cluster of our own.
    #[default]
    All,
    /// The scenario's, the implementation's and the harness's: on somebody else's cluster.
    Own,
    /// Only these.
    Only(Vec<String>),
}

/// A cluster to run scenarios on.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name, or that of its context.
    pub name: String,
    /// Who made it.
    pub provider: Provider,
    /// Kubeconfig with this cluster alone in it.
    pub kubeconfig: PathBuf,
    /// Kubernetes' version, e.g. `v1.34.4`.
    pub kubernetes: String,
    /// Istio's version, if installed.
    pub istio: Option<String>,
    /// Number of nodes.
    pub nodes: usize,
    /// kubectl.
    pub kubectl: PathBuf,
    /// helm.
    pub helm: PathBuf,
    /// The images of this workspace, by the names under which its nodes have or pull them.
    pub images: Vec<LoadImage>,
    /// The image of the mesh's own Envoy, where it is known.
    pub proxy: Option<String>,
    /// Whether its load-balancer addresses are on this host, so that requests to others must not be made.
    pub local: bool,
    /// Of which namespaces evidence is kept.
    pub keeping: Keeping,
    /// Id of the run that works with it, or [`owner::UP`]: what is made in it gets this label.
    pub run: String,
    /// Resource definitions that the implementation's charts bring and that were not there before. helm leaves them behind;
    /// what was found without them is left without them.
    pub definitions: Vec<String>,
    /// Where this program keeps what it knows of it.
    pub state: StateDir,
    /// The cluster itself, if it is one of ours: its nodes and its Istio can be taken apart.
    pub own: Option<Box<Cluster>>,
}

impl Target {
    /// A client with the rights of its kubeconfig.
    ///
    /// # Errors
    /// The kubeconfig cannot be used.
    pub async fn client(&self) -> Result<Client, ApiError> {
        api::client(&self.kubeconfig).await
    }

    /// kubectl on this cluster.
    pub fn kubectl<I>(&self, args: I) -> duct::Expression
    where
        I: IntoIterator,
        I::Item: Into<std::ffi::OsString>,
    {
        duct::cmd(&self.kubectl, args).env("KUBECONFIG", &self.kubeconfig)
    }

    /// helm on this cluster, with a home of its own.
    pub fn helm<I>(&self, args: I) -> duct::Expression
    where
        I: IntoIterator,
        I::Item: Into<std::ffi::OsString>,
    {
        let helm = duct::cmd(&self.helm, args);
        self.releases().env().into_iter().fold(helm, |helm, (name, value)| helm.env(name, value))
    }

    /// Commands in a shell in a folder with these files (name and content), with this cluster's kubectl and helm; the folder
    /// goes when it is dropped.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn shell(
        &self,
        text: &str,
        files: &[(String, String)],
    ) -> std::io::Result<(duct::Expression, tempfile::TempDir)> {
        let folder = tempfile::tempdir()?;
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content)?;
        }
        let programs = folder.path().join(".bin");
        std::fs::create_dir(&programs)?;
        for (name, program) in [("kubectl", &self.kubectl), ("helm", &self.helm)] {
            std::os::unix::fs::symlink(program, programs.join(name))?;
        }
        let mut path = programs.into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let shell = duct::cmd!("bash", "-c", text).dir(folder.path()).env("PATH", path);
        let environment = self.releases().env().into_iter();
        Ok((environment.fold(shell, |shell, (name, value)| shell.env(name, value)), folder))
    }

    /// Installs an implementation: each release with helm, in order, ready before the next one; returns a line for each.
    /// One without releases comes with Istio: its GatewayClass is waited for.
    ///
    /// # Errors
    /// helm failed, or pods were not ready in time; the error names them and why.
    pub async fn install(
        &self,
        implementation: &Implementation,
        options: &InstallOptions,
        progress: &dyn Progress,
    ) -> Result<Vec<String>, InstallError> {
        let client = self.client().await?;
        self.lead_names(&client, implementation).await?;
        let helm = self.releases();
        self.must_be_there(&client, implementation).await?;
        let releases = options.selected(implementation, &self.image_values())?;
        let mut lines = Vec::new();
        for release in &releases {
            let phase = Phase::start(progress, format!("helm install {}", release.name), None);
            lines.push(helm.install(&client, release).await?);
            owner::releases::label_definitions(&client, &self.definitions, &self.run).await?;
            phase.done();
        }
        // A second time in a scenario, for some releases only, leaves the rest as it is.
        if options.only.is_empty() {
            lines.extend(self.apply_beside(&client, implementation).await?);
        }
        if !options.no_wait && implementation.is_installed_by_us() {
            let phase = Phase::start(progress, "implementation ready", None);
            let within = ready_within(implementation);
            for release in &releases {
                wait_until_ready(&client, release, within).await?;
            }
            self.wait_for_manifests(&client, implementation).await?;
            phase.done();
        }
        // Its controller may not be up yet; one that is nobody's to install is.
        if waits_for_class(implementation) && (!options.no_wait || releases.is_empty()) {
            lines.push(wait_for_class(&client, implementation).await?);
        }
        Ok(lines)
    }

    /// Values of the images' placeholders in files of implementations.
    fn image_values(&self) -> impl Fn(&str) -> Option<String> {
        image_values(&self.images, self.proxy.as_deref())
    }

    /// Makes sure that a gateway that is said to be installed is.
    async fn must_be_there(&self, client: &Client, of: &Implementation) -> Result<(), InstallError> {
        match beside::lacks(client, of).await?.as_slice() {
            [] => Ok(()),
            lacks => Err(InstallError::Lacks(lacks.to_vec())),
        }
    }

    async fn apply_beside(&self, client: &Client, of: &Implementation) -> Result<Vec<String>, InstallError> {
        let wanted = beside::wanted(of, &self.image_values())?;
        let made = beside::apply(client, wanted, &self.run).await?;
        Ok(made.into_iter().map(|made| format!("made {made}")).collect())
    }

    async fn wait_for_manifests(&self, client: &Client, of: &Implementation) -> Result<(), ApiError> {
        let within = ready_within(of);
        for manifests in &of.manifests {
            wait_for_all(client, &manifests.deployments, api::deployment_shortfall, within).await?;
        }
        Ok(())
    }

    /// What a gateway that is said to be installed lacks here.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn lacks(&self, of: &Implementation) -> Result<(), ClusterError> {
        let client = self.client().await?;
        Ok(self.must_be_there(&client, of).await?)
    }

    /// Makes sure that an implementation is installed with its own chart, values and images, and ready; nothing is done to one
    /// that is.
    ///
    /// # Errors
    /// See [`Self::install`]; and what is there is somebody else's, on a cluster that is.
    pub async fn ensure(
        &self,
        implementation: &Implementation,
        progress: &dyn Progress,
    ) -> Result<Vec<String>, InstallError> {
        let client = self.client().await?;
        self.must_be_there(&client, implementation).await?;
        self.lead_names(&client, implementation).await?;
        let helm = self.releases();
        let options = InstallOptions { without_extension: self.istio.is_none(), ..InstallOptions::default() };
        let releases = options.selected(implementation, &self.image_values())?;
        let wanted = installed::wanted(&self.images)
            .map_err(|source| InstallError::Chart { release: implementation.name.clone(), source })?;
        for release in &releases {
            let why = match helm.state(&client, release).await? {
                State::Current => continue,
                State::Absent => None,
                State::Outdated(why) => Some(why),
                State::Foreign(why) => {
                    self.replace(&client, &helm, release, &why, progress).await?;
                    Some(why)
                }
            };
            let phase = Phase::start(progress, format!("helm install {}", release.name), None);
            if let Some(why) = why {
                phase.note(&why);
            }
            helm.install(&client, release).await?;
            owner::releases::label_definitions(&client, &self.definitions, &self.run).await?;
            phase.done();
        }
        let within = ready_within(implementation);
        let mut lines = self.apply_beside(&client, implementation).await?;
        self.wait_for_manifests(&client, implementation).await?;
        for release in &releases {
            wait_until_ready(&client, release, within).await?;
            // Of an implementation with images of its own, its chart and values say all there is to know.
            if implementation.images().is_empty() {
                continue;
            }
            if let Some(why) = installed::stale_release(&client, release, &wanted).await? {
                self.replace(&client, &helm, release, &why, progress).await?;
                if let Some(cluster) = &self.own {
                    // What the nodes have by the right name may be another image.
                    cluster.load_images(&self.images).await.map_err(Box::new)?;
                }
                helm.install(&client, release).await?;
                wait_until_ready(&client, release, within).await?;
                if let Some(still) = installed::stale_release(&client, release, &wanted).await? {
                    return Err(InstallError::Stale(still));
                }
            }
        }
        if waits_for_class(implementation) {
            lines.push(wait_for_class(&client, implementation).await?);
        }
        let line =
            |release: &Release| format!("{} {} in {}", release.name, release.version, release.namespace);
        let mut all: Vec<_> = releases.iter().map(line).collect();
        all.extend(lines);
        Ok(all)
    }

    /// Takes away a release that is not what is to be judged; refuses where it is not this program's to take.
    async fn replace(
        &self,
        client: &Client,
        helm: &Helm,
        release: &Release,
        why: &str,
        progress: &dyn Progress,
    ) -> Result<(), InstallError> {
        if self.provider != Provider::Kind {
            return Err(InstallError::Stale(why.to_owned()));
        }
        helm.refuse_foreign(client, &release.name).await?;
        let phase = Phase::start(progress, format!("helm uninstall {}", release.name), None);
        phase.note(why);
        helm.uninstall(release).await?;
        phase.done();
        Ok(())
    }

    /// What the pods of an implementation run: digests by the names of images.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn running(
        &self,
        implementation: &Implementation,
    ) -> Result<std::collections::BTreeMap<String, std::collections::BTreeSet<String>>, ApiError> {
        let mut namespaces = implementation.namespaces.clone();
        if !implementation.proxies.differ_by_gateway() {
            namespaces.push(implementation.proxies.namespace.clone());
        }
        namespaces.sort();
        namespaces.dedup();
        installed::running(&self.client().await?, &namespaces).await
    }

    /// Lets pods of a cluster of ours look up the implementation's names; DNS of somebody else's is not touched.
    async fn lead_names(&self, client: &Client, implementation: &Implementation) -> Result<(), ApiError> {
        match dns::Zone::of(implementation) {
            Some(zone) if self.provider == Provider::Kind => dns::lead_to(client, &zone).await,
            _ => Ok(()),
        }
    }

    /// Writes down which namespaces are about to be made for scenarios, so that a cluster of ours is not taken for one in which
    /// somebody has something. Nothing to do for somebody else's.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn will_make(&self, namespaces: impl IntoIterator<Item = String>) -> Result<(), ClusterError> {
        if self.provider == Provider::Kind {
            Holdings::will_make(&self.state, namespaces)?;
        }
        Ok(())
    }

    /// The cluster with its nodes, for what is done only to one of ours.
    ///
    /// # Errors
    /// It is somebody else's.
    pub fn own(&self) -> Result<&Cluster, ClusterError> {
        self.own.as_deref().ok_or_else(|| ClusterError::NotOurs(self.name.clone()))
    }

    /// Uninstalls an implementation, last release first, and waits until nothing of it is left in its namespaces; those that
    /// helm made for its releases elsewhere are removed. Says what was there.
    ///
    /// # Errors
    /// helm failed, or something did not go away.
    pub async fn uninstall(
        &self,
        implementation: &Implementation,
        options: &InstallOptions,
    ) -> Result<Vec<String>, InstallError> {
        let client = self.client().await?;
        let helm = self.releases();
        let everything = InstallOptions { without_extension: false, ..options.clone() };
        // Which image it has is nothing to its removal.
        let releases = everything.selected(implementation, &|_| Some(String::new()))?;
        for release in &releases {
            helm.refuse_foreign(&client, &release.name).await?;
        }
        let mut gone = beside::remove(&client, implementation).await?;
        let mut others = Vec::new();
        for release in releases.iter().rev() {
            for namespace in installed_in(&client, &release.name).await? {
                let made = owner::releases::is_ours(&client, &namespace).await? == Some(true);
                if made && !implementation.namespaces.contains(&namespace) {
                    others.push(namespace.clone());
                }
                helm.uninstall(&Release { namespace, ..release.clone() }).await?;
                gone.push(format!("release {}", release.name));
            }
        }
        let mut own = Vec::new();
        for namespace in &implementation.namespaces {
            if self.provider == Provider::Kind {
                // Of a cluster that was made before there were labels.
                owner::releases::claim_namespace(&client, namespace).await?;
            }
            if owner::releases::is_ours(&client, namespace).await? == Some(true) {
                own.push(namespace.clone());
            }
        }
        namespaces::empty(&client, &own).await?;
        for name in others {
            if namespaces::remove_ours(&client, self.provider, &name).await? {
                gone.push(format!("namespace {name}"));
            }
        }
        Ok(gone)
    }

    /// Leaves a cluster that is somebody else's as it was found: without an implementation that scenarios left for the next
    /// one, without definitions that helm leaves behind, and without this program's files about it.
    ///
    /// # Errors
    /// The API server or the file system refuses.
    pub async fn leave(&self, implementation: &Implementation) -> Result<(), ClusterError> {
        if self.provider == Provider::Kind {
            return Ok(());
        }
        self.uninstall(implementation, &InstallOptions::default()).await?;
        let client = self.client().await?;
        for namespace in &implementation.namespaces {
            namespaces::remove_ours(&client, self.provider, namespace).await?;
        }
        let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
        for name in &self.definitions {
            let others = owner::of_definition(&client, name).await?;
            if !others.is_empty() {
                let with = others.join(", ");
                let why = format!("the definition {name} is left alone: with it would go {with}");
                return Err(InstallError::Left(why).into());
            }
            match definitions.delete(name, &DeleteParams::default()).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                Err(source) => {
                    let doing = format!("removing the definition {name}");
                    return Err(ApiError::Request { doing, source: Box::new(source) }.into());
                }
            }
        }
        self.state.remove()?;
        Ok(())
    }

    fn releases(&self) -> Helm {
        Helm::new(&self.helm, &self.state, &self.kubeconfig, &self.run)
    }
}

/// Whether its class is waited for: helm says nothing of one that no release brings.
fn waits_for_class(of: &Implementation) -> bool {
    of.releases.is_empty() || beside::brings_class(of)
}
