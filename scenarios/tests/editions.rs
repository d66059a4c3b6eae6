//! An edition of the document retold in our own words around the scenarios' own manifests: what the data knows is found again, and a
//! change is told with the steps that have to follow.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use meshproof_document::compare;
use meshproof_document::compare::{Class, Comparison, Finding};
use meshproof_document::cover::World;
use meshproof_document::known::Known;
use meshproof_document::{extract, page};
use meshproof_model::implementation::Implementation;
use meshproof_model::requirement::Catalogue;
use meshproof_run::scenario::Scenario;

/// What stands around the manifests. `{x}` is the scenario's file `x.yaml`.
const RETOLD: &str = "---
ms.date: 1/2/2027
---
# Retold

Install it first.

```bash
helm install alb-controller-servicemesh-extension oci://charts.example/alb-controller-servicemesh-extension \\
  --namespace $HELM_NAMESPACE --version VERSION
kubectl get pods -n azure-alb-system
```

Here is a place to live, and its guard.

```yaml
{namespace}
---
{peer-authentication}
```

::: zone pivot=\"managed\"

```bash
kubectl apply -f - <<EOF
{gateway}
EOF
```

::: zone-end

It ends up like this.

```yaml
{gateway-status}
```

```bash
kubectl apply -f - <<'END'
{route}
END
```

```yaml
{route-status}
```

```console
$ kubectl delete peerauthentication/default --namespace isto-example-namespace
```
";

/// The edition, with the scenario's files and a version of the chart.
fn retold(version: &str) -> Result<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("service-mesh-integration");
    let mut text = RETOLD.replace("VERSION", version);
    for name in ["namespace", "peer-authentication", "gateway", "gateway-status", "route", "route-status"] {
        let file = folder.join(name).with_extension("yaml");
        let manifest = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        text = text.replace(&format!("{{{name}}}"), manifest.trim_end());
    }
    filled(&text)
}

/// The text with what the document's own gateway puts for its placeholders.
fn filled(text: &str) -> Result<String> {
    let gateway = Implementation::built_in()?;
    let mut parts = text.split("${");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once('}').context("a placeholder has no end")?;
        let value = gateway.placeholder(name, "isto-example-namespace");
        let value = value.with_context(|| format!("{name} has no value"))?;
        filled.push_str(if value.is_empty() { "\"\"" } else { &value });
        filled.push_str(rest);
    }
    Ok(filled)
}

fn check(text: &str) -> Result<Comparison> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let catalogue = Catalogue::built_in()?;
    let scenarios = Scenario::load_all(root, &catalogue, &Implementation::built_in()?)?;
    let outlines: Vec<_> = scenarios.iter().map(Scenario::outline).collect();
    let data = std::fs::read_to_string(root.join("documents/service-mesh-integration.yaml"))?;
    let known = Known::parse(&data, &catalogue)?;
    let world = World::new(&catalogue, &outlines, &known.document);
    let page = page::read(text);
    Ok(compare::compare(&page, &extract::fragments(&page), &known, &world, &[]))
}

/// What became of a fragment of the data.
fn found<'a>(comparison: &'a Comparison, id: &str) -> Result<&'a Finding> {
    let finding = comparison.fragments.iter().find(|finding| finding.id.as_deref() == Some(id));
    finding.with_context(|| format!("the data has no fragment {id}"))
}

fn changes(finding: &Finding) -> Vec<String> {
    let value = |value: &Option<String>| value.clone().unwrap_or_default();
    finding.changes.iter().map(|c| format!("{}: {} -> {}", c.fact, value(&c.old), value(&c.new))).collect()
}

#[test]
fn what_the_scenarios_apply_is_what_the_document_applies() -> Result<()> {
    let comparison = check(&retold("1.8.8")?)?;
    for id in ["namespace-manifest", "peer-authentication-manifest", "gateway-managed-manifest"] {
        ensure!(found(&comparison, id)?.class == Class::Covered, "{id}: {:?}", found(&comparison, id)?);
    }
    for id in ["route-manifest", "route-output", "pods-command", "delete-command"] {
        ensure!(found(&comparison, id)?.changes.is_empty(), "{id}: {:?}", found(&comparison, id)?);
    }
    // Erratum E4: the document prints another name than it gives the listener.
    let status = changes(found(&comparison, "gateway-output")?);
    // Further kinds of routes are admitted (R35).
    let known =
        ["status.listeners[0].name: gateway-01-http -> http", "status.listeners[0].supportedKinds[1]:  -> *"];
    ensure!(status == known, "{status:?}");
    Ok(())
}

#[test]
fn a_change_is_told_with_the_steps_that_have_to_follow() -> Result<()> {
    let text =
        retold("1.9.0")?.replace("isto-example-namespace", "mesh-namespace").replace("STRICT", "PERMISSIVE");
    let comparison = check(&text)?;
    let expected = [
        ("install-extension", "version: 1.8.8 -> 1.9.0"),
        ("namespace-manifest", "metadata.name: isto-example-namespace -> mesh-namespace"),
        ("peer-authentication-manifest", "spec.mtls.mode: STRICT -> PERMISSIVE"),
        ("gateway-managed-manifest", "metadata.namespace: isto-example-namespace -> mesh-namespace"),
        ("route-manifest", "metadata.namespace: isto-example-namespace -> mesh-namespace"),
        ("route-output", "status.parents[0].parentRef.namespace: isto-example-namespace -> mesh-namespace"),
        ("delete-command", "namespace: isto-example-namespace -> mesh-namespace"),
    ];
    for (id, change) in expected {
        let finding = found(&comparison, id)?;
        ensure!(finding.class == Class::Changed, "{id}: {:?}", finding.class);
        ensure!(changes(finding).iter().any(|told| told == change), "{id}: {:?}", changes(finding));
        let main = finding.steps.iter().find(|step| step.scenario == "service-mesh-integration");
        ensure!(main.is_some_and(|step| step.line > 0), "{id} names no step of the main scenario");
    }
    ensure!(!comparison.covered);
    ensure!(found(&comparison, "gateway-byo-manifest")?.class == Class::Gone, "nothing in it brings its own");
    ensure!(comparison.fragments.iter().any(|finding| finding.class == Class::New), "its words are new");
    Ok(())
}
