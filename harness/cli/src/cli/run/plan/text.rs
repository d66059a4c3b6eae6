//! The plan for people: one line for what is done, objects below it.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Install, Plan, Planned, Planning};
use meshproof_model::event::StepKind;
use meshproof_model::yaml;

/// The text.
///
/// # Errors
/// An object cannot be written as YAML.
pub(super) fn of(plan: &Plan) -> Result<String, String> {
    let mut text = String::new();
    head(&mut text, plan);
    for (at, install) in plan.installs.iter().enumerate() {
        self::install(&mut text, at + 1, install)?;
    }
    for required in &plan.requires {
        let _ = writeln!(text, "\nHas to be there: {required}");
    }
    if plan.installs.is_empty() && plan.requires.is_empty() {
        let gateway = &plan.gateway;
        let _ = writeln!(
            text,
            "\nNothing is installed: GatewayClass {} of {} has to be there, and accepted.",
            gateway.class, gateway.controller
        );
    }
    for scenario in &plan.scenarios {
        self::scenario(&mut text, scenario)?;
    }
    let steps: usize = plan.scenarios.iter().map(|scenario| scenario.steps.len()).sum();
    let _ = writeln!(
        text,
        "\n{}, {}. Nothing was done.",
        meshproof_report::count(plan.scenarios.len(), "scenario"),
        meshproof_report::count(steps, "step")
    );
    Ok(text)
}

fn head(text: &mut String, plan: &Plan) {
    let gateway = &plan.gateway;
    let version = gateway.version.as_deref().unwrap_or("(Istio's version)");
    let _ = writeln!(text, "Gateway {} {version}", gateway.name);
    let mut line = |what: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(text, "  {what:13} {value}");
        }
    };
    line("GatewayClass", &format!("{} of {}", gateway.class, gateway.controller));
    line("identity", &gateway.identity);
    line("certificate", &gateway.certificate);
    line("to the pods", gateway.reaches_pods.as_deref().unwrap_or_default());
    line("address", &gateway.address);
    line("data plane", &gateway.proxies);
    line("images", &gateway.images.join(", "));
    line("namespaces", &gateway.namespaces.join(", "));
    for (name, limit) in &gateway.limits_ms {
        line("limit", &format!("{name}: {:?}", Duration::from_millis(*limit)));
    }
    for (name, value) in &gateway.variables {
        line("variable", &format!("{name}={value}"));
    }
    for (id, why) in &gateway.waives {
        line("waives", &format!("{id}: {why}"));
    }
}

fn install(text: &mut String, number: usize, install: &Install) -> Result<(), String> {
    let Install { what, values, objects, ready, in_mesh } = install;
    let _ = writeln!(text, "\nInstall {number}{}\n  {what}", if *in_mesh { ", after Istio" } else { "" });
    if values.as_object().is_some_and(|values| !values.is_empty()) {
        indented(text, "    ", &yaml(values)?);
    }
    for object in objects {
        indented(text, "    ", "---");
        indented(text, "    ", &yaml(object)?);
    }
    for object in ready {
        let _ = writeln!(text, "  wait until {object} is ready");
    }
    Ok(())
}

fn scenario(text: &mut String, scenario: &Planned) -> Result<(), String> {
    let Planned { id, title, document, file, needs, namespace, steps } = scenario;
    let _ = writeln!(text, "\nScenario {id}: {title}");
    let _ = writeln!(text, "  {document}; {file}; namespace {namespace}; needs {}", needs.join(", "));
    for step in steps {
        self::step(text, step)?;
    }
    Ok(())
}

fn step(text: &mut String, step: &Planning) -> Result<(), String> {
    let line = step.place.rsplit(':').next().unwrap_or_default();
    let kind = match step.kind {
        StepKind::Action => "do",
        StepKind::Claim => "claim",
    };
    let _ = write!(text, "  {:>3}  L{line:<4} {kind:5}  {}", step.number, step.does);
    if let Some(why) = &step.waived {
        let _ = writeln!(text, "\n{:19}not taken: {why}", "");
        return Ok(());
    }
    let _ = write!(text, ", within {:?}", Duration::from_millis(step.within_ms));
    if let Some(stays) = &step.stays {
        let _ = write!(text, ", then for {stays}");
    }
    if step.meanwhile {
        text.push_str(", while the next steps go on");
    }
    text.push('\n');
    let mut more = |what: &str, names: &[String]| {
        if !names.is_empty() {
            let _ = writeln!(text, "{:19}{what} {}", "", names.join(", "));
        }
    };
    more("proves", &step.proves);
    more("hears", &step.witnesses);
    if let Some(instead) = &step.instead {
        let _ = writeln!(text, "{:19}expected otherwise: {}", "", instead.because);
    }
    for object in &step.objects {
        let _ = writeln!(text, "{:19}---", "");
        indented(text, "                   ", &yaml(object)?);
    }
    Ok(())
}

fn yaml(value: &serde_json::Value) -> Result<String, String> {
    yaml::to_string(value).map_err(|error| error.message)
}

fn indented(text: &mut String, by: &str, block: &str) {
    for line in block.lines() {
        let _ = writeln!(text, "{by}{line}");
    }
}
