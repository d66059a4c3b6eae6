//! The main scenario as it reads for a gateway that is expected to behave otherwise.

use std::path::Path;

use meshproof_model::event::StepInfo;
use meshproof_model::implementation::Implementation;
use meshproof_model::requirement::Catalogue;
use meshproof_model::scenario::Problems;

use crate::scenario::Scenario;

const ISTIO: &str = include_str!("../../../../../implementations/istio.yaml");

/// The main scenario as it reads for a file of Istio's gateway with other lines.
fn main_scenario(text: &str) -> Result<Scenario, Problems> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    // Files are seen from the implementation's own.
    let file = here.join("implementations/other.yaml");
    let implementation = Implementation::parse(&file, text.to_owned()).unwrap();
    let catalogue = Catalogue::built_in().unwrap();
    Scenario::load(&here.join("scenarios"), "service-mesh-integration", &catalogue, &implementation)
}

/// That 200 stays is not called 503, and proves nothing, where the file forgets to say that R45 is waived.
#[test]
fn an_opposite_is_not_proved_by_leaving_its_waiver_out() {
    let (before, after) = ISTIO.split_once("    R45: >-").unwrap();
    let (_, after) = after.split_once("so 200 stays.\n").unwrap();
    let text = format!("{before}{after}");
    let problems = main_scenario(&text).unwrap_err().to_string();
    assert!(problems.contains("`witness` is part of what makes the step worth believing"), "{problems}");
    assert!(problems.contains("the step is to prove R45, which is not waived"), "{problems}");

    // With nothing but what may be replaced, the file is good, and R45 is not proved by it.
    let witness = "    witness: [mtls-from-extension, clear-text-answered]\n";
    let text = text.replace(witness, "").replace("    may-waver: true\n", "");
    let steps = main_scenario(&text).unwrap().steps;
    let with = |ids: fn(&StepInfo) -> &Vec<String>| {
        steps.iter().filter(|step| ids(&step.info).iter().any(|id| id == "R45")).count()
    };
    assert_eq!((with(|info| &info.proves), with(|info| &info.sets_aside)), (0, 1));
}
