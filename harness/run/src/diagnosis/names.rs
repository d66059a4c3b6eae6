//! What the gateway under test and its parts are called, from its file: the rules know no gateway.

use meshproof_model::implementation::{Certificate, Implementation, Release, Words};

/// Names that the rules compare with what is there. Those that a gateway has none of are empty, and match nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Its GatewayClass.
    pub class: String,
    /// `spec.controllerName` of that class.
    pub controller: String,
    /// The program that writes statuses; nothing for one that comes with Istio.
    pub control_plane: Option<Program>,
    /// The program that makes it part of the mesh; nothing for one that needs none.
    pub extension: Option<Program>,
    /// Namespace of its proxies, as the file has it.
    pub data_plane: String,
    /// Namespace and name of the Secret with its client certificate, if it is in one.
    pub identity: Option<(String, String)>,
    /// Its own words for what went wrong.
    pub words: Words,
}

/// A program of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its namespace.
    pub namespace: String,
    /// Its Deployment.
    pub deployment: String,
    /// The helm release that brings it.
    pub release: String,
}

impl Program {
    fn of(release: &Release) -> Option<Self> {
        let (namespace, deployment) = release.deployments.first()?.clone();
        Some(Self { namespace, deployment, release: release.name.clone() })
    }

    /// `namespace/deployment`.
    pub fn in_full(&self) -> String {
        format!("{}/{}", self.namespace, self.deployment)
    }
}

impl Names {
    /// Those of this gateway: what is in the mesh is its extension, what is not its control plane.
    pub fn of(implementation: &Implementation) -> Self {
        let program = |in_mesh| {
            let mut releases = implementation.releases.iter().filter(|release| release.in_mesh == in_mesh);
            releases.find_map(Program::of)
        };
        Self {
            class: implementation.gateway_class.clone(),
            controller: implementation.controller.clone(),
            control_plane: program(false),
            extension: program(true),
            data_plane: implementation.proxies.namespace.clone(),
            words: implementation.words.clone(),
            identity: match implementation.identity.as_ref().map(|identity| &identity.certificate) {
                Some(Certificate::Secret { namespace, name }) => Some((namespace.clone(), name.clone())),
                None | Some(Certificate::Envoy | Certificate::Sidecar | Certificate::Unseen) => None,
            },
        }
    }

    /// Whether everything of this namespace is the gateway's own.
    pub(super) fn owns(&self, namespace: &str) -> bool {
        let programs = [&self.control_plane, &self.extension].into_iter().flatten();
        programs.map(|program| &program.namespace).chain([&self.data_plane]).any(|own| own == namespace)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn they_are_those_of_the_file() {
        let alb = Names::of(&Implementation::built_in().unwrap());
        let program = |name: &str, release: &str| {
            let (namespace, deployment) = ("azure-alb-system".to_owned(), name.to_owned());
            Some(Program { namespace, deployment, release: release.to_owned() })
        };
        assert_eq!(alb.control_plane, program("alb-controller", "alb-controller"));
        assert_eq!(
            alb.extension,
            program("alb-controller-istio-extension", "alb-controller-servicemesh-extension")
        );
        assert_eq!(alb.words.extension_events["IstioMissing"].id, "istio-missing");
        assert!(alb.owns("azure-alb-system") && alb.owns("azure-alb-dataplane") && !alb.owns("shop"));
    }

    #[test]
    fn what_comes_with_istio_has_no_programs_and_owns_no_namespace() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../implementations/istio.yaml");
        let istio = Names::of(&Implementation::load(&file).unwrap());
        assert_eq!((&istio.control_plane, &istio.extension, &istio.identity), (&None, &None, &None));
        assert!(!istio.owns("") && !istio.owns("shop"));
        assert_eq!(istio.controller, "istio.io/gateway-controller");
    }
}
