//! What there is around the extension, and what follows from it: facts in, verdict out. Pure; [`watch`] finds the facts.

pub mod version;
pub mod watch;

use alb_api::Edition;
use version::{MINIMUM, Version};

/// Namespace of the AKS add-on's control plane, which editions of the document exclude (R48) or support (R49).
pub const ADD_ON_NAMESPACE: &str = "aks-istio-system";

/// What Istio calls a control plane without a revision of its own.
const DEFAULT_REVISION: &str = "default";

/// What is known of the surroundings; `None` is "not looked yet".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// What the injector made of this pod.
    pub injection: Option<Injection>,
    /// Whether ALB Controller's custom resource is defined.
    pub custom_resource: Option<bool>,
    /// Whether ALB Controller's Deployment exists.
    pub controller: Option<bool>,
    /// Istio's control planes in this cluster.
    pub control_planes: Option<Vec<ControlPlane>>,
}

/// What the injector made of this pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Injection {
    /// There is no container `istio-proxy`.
    None,
    /// There is one, of this revision of the control plane (annotation `istio.io/rev`).
    Sidecar(Option<String>),
}

/// One istiod Deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlPlane {
    /// Where it runs.
    pub namespace: String,
    /// The Deployment's name.
    pub name: String,
    /// Its revision (label `istio.io/rev`).
    pub revision: Option<String>,
    /// Its version as far as it can be told.
    pub version: Option<Version>,
}

/// How the extension must be called in commands for people.
#[derive(Clone, Debug)]
pub struct Names {
    /// Namespace of the extension and ALB Controller.
    pub namespace: String,
    /// The extension's Deployment.
    pub deployment: String,
    /// ALB Controller's Deployment.
    pub controller: String,
    /// ALB Controller's CustomResourceDefinition.
    pub custom_resource: String,
    /// The edition of the document to follow.
    pub edition: Edition,
}

/// Something the user must know, and do something about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The Event's reason, and the metric's label.
    pub reason: &'static str,
    /// What is wrong and what to do.
    pub message: String,
    /// Whether the pod is not ready because of it.
    pub blocks: bool,
}

/// What to make of the facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not everything has been looked at yet.
    Looking,
    /// All there: publish the certificate.
    Integrated(Option<Version>),
    /// Something is missing or refused: publish nothing.
    NotIntegrated(Finding),
}

/// Reasons of findings.
pub mod reason {
    /// R9.
    pub const CONTROLLER_MISSING: &str = "ALBControllerMissing";
    /// No Istio at all (R16).
    pub const ISTIO_MISSING: &str = "IstioMissing";
    /// Istio is there, but this pod has no sidecar (R16).
    pub const SIDECAR_MISSING: &str = "SidecarMissing";
    /// R14.
    pub const ISTIO_TOO_OLD: &str = "IstioTooOld";
    /// R48.
    pub const ADD_ON_UNSUPPORTED: &str = "IstioAddOnUnsupported";
    /// Everything is there. Not a finding: the Event that ends one.
    pub const INTEGRATED: &str = "Integrated";
}

/// Judges the facts: ALB Controller first (R9), then Istio.
#[must_use]
pub fn judge(facts: &Facts, names: &Names) -> Verdict {
    let Facts { injection: Some(injection), custom_resource: Some(custom_resource), .. } = facts else {
        return Verdict::Looking;
    };
    let (Some(controller), Some(planes)) = (facts.controller, &facts.control_planes) else {
        return Verdict::Looking;
    };
    let missing = match (custom_resource, controller) {
        (false, _) => Some(format!("the CustomResourceDefinition {} does not exist", names.custom_resource)),
        (_, false) => {
            Some(format!("the Deployment {} does not exist in {}", names.controller, names.namespace))
        }
        (true, true) => None,
    };
    #[cfg(feature = "faults")]
    let missing = missing.filter(|_| !crate::faults::fault("controller-not-needed"));
    if let Some(missing) = missing {
        let message = format!(
            "ALB Controller is missing: {missing}. Install the chart alb-controller; this extension then goes on by itself."
        );
        return Verdict::NotIntegrated(Finding { reason: reason::CONTROLLER_MISSING, message, blocks: true });
    }
    judge_istio(injection, planes, names)
}

fn judge_istio(injection: &Injection, planes: &[ControlPlane], names: &Names) -> Verdict {
    let injected = *injection != Injection::None;
    let not_integrated = |reason, message| {
        // Without a sidecar the pod is as it should be without Istio: 1/1 (R13). With one it waits for something.
        Verdict::NotIntegrated(Finding { reason, message, blocks: injected })
    };
    let restart = format!("kubectl rollout restart deployment/{} -n {}", names.deployment, names.namespace);
    // Whose sidecar it is, where that can be told; otherwise whoever's it may become.
    let ours: Vec<&ControlPlane> = match injection {
        Injection::Sidecar(Some(revision)) if planes.iter().any(|plane| plane.is(revision)) => {
            planes.iter().filter(|plane| plane.is(revision)).collect()
        }
        _ => planes.iter().collect(),
    };
    let is_supported =
        |plane: &&ControlPlane| names.edition.knows_revisions() || plane.namespace != ADD_ON_NAMESPACE;
    let supported: Vec<&ControlPlane> = ours.iter().copied().filter(is_supported).collect();
    #[cfg(feature = "faults")]
    let supported = match supported.is_empty() && !ours.is_empty() {
        true if crate::faults::fault("add-on-taken-for-istio") => ours.clone(),
        _ => supported,
    };
    if supported.is_empty() && !ours.is_empty() {
        let message = format!(
            "Only the AKS Istio add-on is installed (Deployment {} in {ADD_ON_NAMESPACE}), and it is not supported. \
             Install open-source Istio {MINIMUM} or later, then: {restart}",
            ours[0].name
        );
        return not_integrated(reason::ADD_ON_UNSUPPORTED, message);
    }
    // A version that cannot be told is given the benefit of the doubt.
    let newest = supported.iter().max_by_key(|plane| plane.version.map_or((1, None), |v| (0, Some(v))));
    let known = newest.and_then(|plane| Some((plane, plane.version?)));
    #[cfg(feature = "faults")]
    let known = known.filter(|(_, version)| *version >= MINIMUM || !crate::faults::fault("any-version"));
    if let Some((plane, version)) = known
        && version < MINIMUM
    {
        let message = format!(
            "Istio {version} (Deployment {} in {}) is too old. Upgrade Istio to {MINIMUM} or later, then: {restart}",
            plane.name, plane.namespace
        );
        return not_integrated(reason::ISTIO_TOO_OLD, message);
    }
    if injected {
        return Verdict::Integrated(newest.and_then(|plane| plane.version));
    }
    match newest {
        None => not_integrated(
            reason::ISTIO_MISSING,
            format!(
                "No Istio sidecar in this pod, and no Istio in this cluster (no Deployment labelled app=istiod). \
                 Install Istio {MINIMUM} or later, then: {restart}"
            ),
        ),
        Some(ControlPlane { name, namespace, revision: Some(revision), .. })
            if names.edition.knows_revisions() && revision != DEFAULT_REVISION =>
        {
            not_integrated(
                reason::SIDECAR_MISSING,
                format!(
                    "No Istio sidecar in this pod, though Istio is installed (Deployment {name} in {namespace}, revision {revision}). \
                     The chart sets the label for it when it is installed or upgraded: run helm upgrade with the value \
                     revision={revision}",
                ),
            )
        }
        Some(plane) => not_integrated(
            reason::SIDECAR_MISSING,
            format!(
                "No Istio sidecar in this pod, though Istio is installed (Deployment {} in {}): the pod is older than \
                 Istio's injector. Run: {restart}. If there is no sidecar after that, the control plane may have a \
                 revision: set the chart's value revision to its name.",
                plane.name, plane.namespace
            ),
        ),
    }
}

impl ControlPlane {
    fn is(&self, revision: &str) -> bool {
        self.revision.as_deref() == Some(revision)
    }
}

#[cfg(test)]
mod tests;
