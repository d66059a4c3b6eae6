//! How the suite is started: its own flags, and those of `kind-config/go/gateway-api-conformance/suite`.

use std::net::IpAddr;
use std::path::Path;

use super::ROOT;
use meshproof_model::implementation::{ConformanceOf, Implementation, NOBODYS_ADDRESS, Resolution};
use meshproof_model::scenario::object::LABEL;
use meshproof_run::conformance::Asked;

/// How fast the suite is, and how patient.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pace {
    /// How many tests run side by side, of those that may.
    pub parallel: u16,
    /// Limits other than the suite's own, as it takes them: name and seconds.
    pub limits: Vec<(String, u32)>,
}

/// The whole run of a suite: nothing that still works takes so long.
const LIMIT: &str = "60m";

/// Which run it is, on what.
pub(super) struct Whence<'a> {
    /// Id of the run.
    pub(super) run: &'a str,
    /// Istio's version, which is that of a gateway that comes with it.
    pub(super) istio: Option<&'a str>,
    /// Where the suite writes its own report, if it does.
    pub(super) report: Option<&'a Path>,
    /// An address of the cluster's own load balancer, which nobody has.
    pub(super) spare: Option<IpAddr>,
}

pub(super) fn of(
    implementation: &Implementation,
    asked: &Asked,
    pace: &Pace,
    Whence { run, istio, report, spare }: &Whence<'_>,
) -> Vec<String> {
    let part = implementation.conformance.clone().unwrap_or_default();
    let mut arguments = vec![
        "run".to_owned(),
        // Lines of its frame can be told from what tests print.
        "-test.v=test2json".to_owned(),
        format!("-test.timeout={LIMIT}"),
        format!("-test.parallel={}", pace.parallel.max(1)),
        format!("-label={LABEL}={run}"),
        format!("-gateway-class={}", implementation.gateway_class),
        format!("-conformance-profiles={}", asked.profiles.join(",")),
        // What a run made is removed by its label, all at once, whatever became of the suite.
        "-cleanup-base-resources=false".to_owned(),
    ];
    let version = implementation.version.as_deref().or(*istio);
    arguments.extend(identity(implementation, &part, version.unwrap_or("unknown")));
    if !part.features.is_empty() {
        let features: Vec<_> = asked.features.iter().map(String::as_str).collect();
        arguments.push(format!("-supported-features={}", features.join(",")));
    }
    if !asked.names.is_empty() {
        arguments.push(format!("-test.run=^{ROOT}$/^({})$", asked.names.join("|")));
    }
    if !pace.limits.is_empty() {
        let limits: Vec<_> = pace.limits.iter().map(|(name, seconds)| format!("{name}:{seconds}")).collect();
        arguments.push(format!("-timeout-config-overrides={}", limits.join(";")));
    }
    if let Resolution::Zone { zone, namespace } = &implementation.address.resolution {
        arguments.extend([format!("-zone={zone}"), format!("-zone-namespace={namespace}")]);
    }
    if let Some(usable) = part.usable_address.or(*spare) {
        arguments.push(format!("-usable-address={usable}"));
        let unusable = part.unusable_address.unwrap_or(NOBODYS_ADDRESS);
        arguments.push(format!("-unusable-address={unusable}"));
    }
    arguments.extend(report.map(|file| format!("-report-output={}", file.display())));
    arguments
}

/// What the report calls the implementation; the version of one that comes with Istio is Istio's.
fn identity(implementation: &Implementation, part: &ConformanceOf, version: &str) -> Vec<String> {
    vec![
        format!("-organization={}", part.organization),
        format!("-project={}", implementation.name),
        format!("-url={}", part.url),
        format!("-version={version}"),
        format!("-contact={}", part.contact.join(",")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(asked: &Asked, implementation: &Implementation, report: Option<&Path>) -> Vec<String> {
        let pace = Pace { parallel: 4, limits: vec![("GetTimeout".to_owned(), 5)] };
        let spare = Some(IpAddr::from([172, 18, 255, 231]));
        of(implementation, asked, &pace, &Whence { run: "r-1", istio: Some("1.31"), report, spare })
    }

    #[test]
    fn the_suite_is_told_whom_it_judges_and_where_names_are_looked_up() {
        let alb = Implementation::built_in().unwrap();
        let asked =
            Asked { profiles: vec!["GATEWAY-HTTP".into(), "GATEWAY-GRPC".into()], ..Asked::default() };
        let told = arguments(&asked, &alb, Some(Path::new("/r/report.yaml")));
        assert_eq!(told[0], "run");
        for said in [
            "-label=dev.meshproof/run=r-1",
            "-gateway-class=azure-alb-external",
            "-conformance-profiles=GATEWAY-HTTP,GATEWAY-GRPC",
            "-version=1.8.8",
            "-zone=alb.internal",
            "-zone-namespace=azure-alb-dataplane",
            "-test.parallel=4",
            "-timeout-config-overrides=GetTimeout:5",
            "-report-output=/r/report.yaml",
            "-usable-address=172.18.255.231",
            "-unusable-address=192.0.2.1",
        ] {
            assert!(told.iter().any(|argument| argument == said), "{said}: {told:?}");
        }
        let inferred =
            |argument: &String| argument.starts_with("-supported-features") || argument.contains("test.run");
        assert!(!told.iter().any(inferred), "the suite reads them from the class: {told:?}");
    }

    #[test]
    fn a_part_of_the_suite_writes_no_report_and_more_may_be_claimed() {
        let mut other = Implementation::built_in().unwrap();
        other.version = None;
        other.conformance.as_mut().unwrap().features = vec!["Mirror".to_owned()];
        let features = ["Gateway".to_owned(), "Mirror".to_owned()].into();
        let asked = Asked { names: vec!["A".into(), "B".into()], features, ..Asked::default() };
        let told = arguments(&asked, &other, None);
        for said in ["-test.run=^Conformance$/^(A|B)$", "-supported-features=Gateway,Mirror", "-version=1.31"]
        {
            assert!(told.iter().any(|argument| argument == said), "{said}: {told:?}");
        }
        assert!(!told.iter().any(|argument| argument.starts_with("-report-output")));
    }
}
