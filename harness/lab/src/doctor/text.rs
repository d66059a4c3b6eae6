//! The report for people.

use std::fmt::{Formatter, Result};

use super::{DoctorReport, Level};

pub(super) fn write(report: &DoctorReport, f: &mut Formatter<'_>) -> Result {
    let facts = &report.facts;
    writeln!(f, "{} on {}", facts.system, facts.architecture)?;
    for finding in &report.findings {
        let mark = match finding.level {
            Level::Good => "ok     ",
            Level::Handled => "handled",
            Level::Warning => "warning",
            Level::Missing => "MISSING",
        };
        writeln!(f, "  {mark}  {:<15} {}", finding.about, finding.what)?;
        if !finding.remedy.is_empty() {
            writeln!(f, "           {:<15} -> {}", "", finding.remedy)?;
        }
    }
    writeln!(f, "\nPrograms")?;
    for (tool, version) in &facts.tools {
        writeln!(f, "  {tool:<12} {version}")?;
    }
    writeln!(f, "\nPlan")?;
    writeln!(f, "  engine       {}", report.plan.engine)?;
    writeln!(f, "  images from  {}", report.plan.source)?;
    if report.plan.build.is_empty() {
        writeln!(f, "  to build     nothing")?;
    }
    for (at, (phase, seconds)) in report.plan.build.iter().enumerate() {
        let label = if at == 0 { "to build" } else { "" };
        let took =
            seconds.map_or_else(|| "not yet timed here".to_owned(), |s| format!("{} last time", duration(s)));
        writeln!(f, "  {label:<12} {phase} ({took})")?;
    }
    writeln!(
        f,
        "\n{}",
        if report.fit { "This host is fit." } else { "This host is not fit yet: see what is MISSING above." }
    )
}

fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0 => format!("{seconds:.1} s"),
        1..60 => format!("{whole} s"),
        _ => format!("{} min {} s", whole / 60, whole % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Facts, findings};
    use super::*;
    use crate::supply::ImageSource;

    #[test]
    fn what_is_missing_and_what_is_built_is_readable() {
        let facts = Facts {
            system: "Debian GNU/Linux 12".to_owned(),
            architecture: "x86_64".to_owned(),
            to_build: vec![
                ("compile kubernetes".to_owned(), Some(391.4)),
                ("compile istio".to_owned(), None),
            ],
            ..Facts::default()
        };
        let (findings, plan) = findings::judge(&facts, ImageSource::Source);
        let text = DoctorReport { fit: false, facts, findings, plan }.to_string();
        assert!(text.contains("MISSING  Docker Engine"), "{text}");
        assert!(text.contains("compile kubernetes (6 min 31 s last time)"), "{text}");
        assert!(text.contains("compile istio (not yet timed here)"), "{text}");
        assert!(text.ends_with("see what is MISSING above.\n"), "{text}");
    }
}
