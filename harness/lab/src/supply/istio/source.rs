//! Other versions of Istio from pinned source. Their images are archives of their own: the node image holds the usual one only.

use std::path::{Path, PathBuf};

use crate::cache::{Cache, Inputs, Key, blocking, io};
use crate::host;
use crate::supply::archive::{self, Image};
use crate::supply::golang::{GoBuild, module_dir};
use crate::supply::node::{IstioParts, LAYOUT, pilot_image, sidecar_image};
use crate::supply::pins::{self, Pins};
use crate::supply::source::{GoBuilds, istio, istio_too_old, need_go};
use crate::supply::{IstioBuild, IstioSupply, LoadImage, SupplyError, parts};
use meshproof_model::progress::Progress;

/// Builds one of [`super::Matrix::from_source`].
pub(super) async fn build(
    cache: &Cache,
    pins: &Pins,
    version: &str,
    progress: &dyn Progress,
) -> Result<IstioBuild, SupplyError> {
    let versions = &pins.istio_versions;
    if version == pins.istio.version {
        let programs = GoBuilds::new(pins).istio.build(cache, progress).await?;
        return Ok(done(&programs, version, Vec::new()));
    }
    let (oldest, too_old) = (istio(pins::ISTIO_OLDEST, &versions.oldest), istio_too_old(pins));
    let programs = compile(cache, &oldest, progress).await?;
    let mut images = vec![oldest_images(cache, pins, &programs, progress).await?];
    if version == versions.too_old {
        let program = compile(cache, &too_old, progress).await?.join("pilot-discovery");
        let key = Inputs::new("istio-too-old-image").with("program", too_old.key().digest).key();
        let image = || vec![pilot_image(version, program)];
        images.push(load_image(cache, &key, version, image, progress).await?);
    }
    Ok(done(&programs, version, images))
}

fn done(programs: &Path, version: &str, images: Vec<LoadImage>) -> IstioBuild {
    IstioBuild { istioctl: programs.join("istioctl"), supply: IstioSupply::own(version), images }
}

async fn compile(cache: &Cache, build: &GoBuild, progress: &dyn Progress) -> Result<PathBuf, SupplyError> {
    if cache.find(&build.key()).is_none() {
        need_go()?;
        host::ensure(cache, progress, host::BUILD).await?;
    }
    build.build(cache, progress).await
}

/// istiod and the sidecar of the oldest Istio; the sidecar under the number of the one that is too old as well, whose control
/// plane injects it.
async fn oldest_images(
    cache: &Cache,
    pins: &Pins,
    programs: &Path,
    progress: &dyn Progress,
) -> Result<LoadImage, SupplyError> {
    let versions = &pins.istio_versions;
    let key = Inputs::new("istio-oldest-images")
        .with("programs", istio(pins::ISTIO_OLDEST, &versions.oldest).key().digest)
        .with("runtime", parts::runtime_key(&pins.debian).digest)
        .with("envoy", parts::envoy_key(&pins.envoy).digest)
        .with("too-old", &versions.too_old)
        .with("layout", LAYOUT)
        .key();
    let module = module_dir(cache, pins::ISTIO_OLDEST, "istio.io/istio").await?;
    let sidecar = IstioParts {
        runtime: parts::runtime(cache, &pins.debian, progress).await?,
        envoy: parts::envoy(cache, &pins.envoy, progress).await?,
        agent: programs.join("pilot-agent"),
        bootstrap: module.join("tools/packaging/common/envoy_bootstrap.json"),
    };
    let version = &versions.oldest.version;
    let pilot = pilot_image(version, programs.join("pilot-discovery"));
    let images = || vec![pilot, sidecar_image(&[version, &versions.too_old], sidecar)];
    load_image(cache, &key, version, images, progress).await
}

/// An archive of images, called by the first one's name.
async fn load_image(
    cache: &Cache,
    key: &Key,
    version: &str,
    images: impl FnOnce() -> Vec<Image>,
    progress: &dyn Progress,
) -> Result<LoadImage, SupplyError> {
    let images = images();
    let reference = images.iter().flat_map(|image| &image.references).next().cloned().unwrap_or_default();
    let dir = cache
        .entry(key, &format!("put Istio {version} into images"), progress, |out| async move {
            let tar = out.join("image.tar");
            let to = tar.clone();
            blocking(move || archive::write(&images, &to)).await.map_err(io("write the images to", &tar))?;
            Ok::<_, SupplyError>(())
        })
        .await?;
    Ok(LoadImage { reference, archive: dir.join("image.tar") })
}
