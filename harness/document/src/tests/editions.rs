//! Later editions of the page, each made of the first by a few replacements: those that change nothing, and those that do, with the
//! answer a maintainer gets.

use rstest::rstest;

use super::*;

/// The first edition with these replacements, each of which has to find something.
fn edition(replacements: &[(&str, &str)]) -> String {
    let mut page = FIRST.to_owned();
    for (old, new) in replacements {
        assert!(page.contains(old), "the page does not hold {old:?}");
        page = page.replace(old, new);
    }
    page
}

const CLEAR_TEXT: &str =
    "> Berths on a quay that carries the label `pilots: enabled` never speak clear text.\n";

#[rstest]
#[case::zone_pivots(&[
    ("# [Rented](#tab/rented)\n", "::: zone pivot=\"rented\"\n"),
    ("# [Owned](#tab/owned)\n", "::: zone-end\n::: zone pivot=\"owned\"\n"),
    ("EOF\n    ```\n\n---\n", "EOF\n    ```\n\n::: zone-end\n"),
])]
#[case::headings_instead_of_tabs(&[
    ("# [Rented](#tab/rented)\n", "#### Rented\n"), ("# [Owned](#tab/owned)\n", "#### Owned\n"),
])]
#[case::another_order_of_keys(&[
    ("metadata:\n  name: quay-one\n  labels:\n    pilots: enabled\n", "metadata:\n  labels: {pilots: 'enabled'}\n  name: \"quay-one\"\n"),
])]
#[case::other_spelling_of_commands(&[
    ("kubectl get pods -n harbour-system", "kubectl --namespace=harbour-system get po"),
    ("     --namespace harbour-system \\\n     --version 2.0.1", "     --version=2.0.1 -n harbour-system"),
    ("kubectl delete PeerAuthentication default -n quay-one", "$ kubectl -n quay-one delete peerauthentications/default"),
])]
#[case::a_file_instead_of_a_here_document(&[
    ("```bash\nkubectl apply -f - <<EOF\n", "```yaml\n"), ("    protocol: HTTP\nEOF\n", "    protocol: HTTP\n"),
])]
#[case::other_pods_of_the_same_deployment(&[
    ("pilot-6648c5d5c-sdd9t", "pilot-79c9f76d44-x2v8p"), ("pilot-6648c5d5c-au234", "pilot-79c9f76d44-0qw7z"), ("| 1h  |", "| 9d  |"),
])]
#[case::another_time_and_address(&[("2023-06-19T21:04:55Z", "2026-06-19T21:04:55Z"), ("a.b.example", "c.d.example")])]
#[case::wrapped_lines(&[
    ("The extension consists of two pilots, one on watch", "The extension consists of **two** pilots,\none on watch"),
    ("carries the label `pilots: enabled` never", "carries the label\n> `pilots: enabled` never"),
])]
#[case::another_kind_of_note(&[("> [!NOTE]\n", "> [!WARNING]\n"), (CLEAR_TEXT, ">Berths on a quay that carries the label `pilots: enabled` never speak clear text.\n")])]
#[case::numbered_instead_of_dotted(&[("- Only wooden", "1. Only wooden"), ("- Anchors", "2. Anchors")])]
#[case::a_comment_in_the_code(&[("az harbour show", "# Is it there?\naz harbour show")])]
#[case::html_instead_of_markdown(&[
    ("- Only wooden ships are supported.\n- Anchors are free.\n", "<ul>\n  <li>Only <b>wooden</b> ships\n are supported.\n  <li>Anchors&nbsp;are free.</li>\n</ul>\n<!-- Ships must pay. -->\n"),
])]
#[case::shown_twice(&[("## Leave the harbour\n", "## Leave the harbour\n\n- Only wooden ships are supported.\n")])]
fn an_edition_that_says_the_same_differs_in_nothing(#[case] replacements: &[(&str, &str)]) {
    assert_eq!(classes(&check(&edition(replacements))), classes(&check(FIRST)));
}

#[rstest]
#[case::other_namespace("other_namespace", &[("quay-one", "quay-two")])]
#[case::newer_chart("newer_chart", &[("--version 2.0.1", "--version 2.1.0"), ("charts.example/harbour", "charts.example/stable/harbour")])]
#[case::more_pods("more_pods", &[
    ("two pilots, one on watch and one asleep", "three pilots, one on watch and two asleep"),
    ("| pilot-6648c5d5c-au234  |", "| pilot-6648c5d5c-k9x2m  | 2/2   | Running | 0        | 1h  |\n| pilot-6648c5d5c-au234  |"),
    ("2/2 ", "3/3 "),
])]
#[case::other_status("other_status", &[
    ("This berth is ready for ships of any size.", "This berth takes ships of up to forty metres."),
    ("    type: Accepted\n", "    type: Accepted\n  - lastTransitionTime: \"2023-06-19T21:04:55Z\"\n    message: Lit\n    reason: Lit\n    status: \"True\"\n    type: Lit\n"),
])]
#[case::other_manifest("other_manifest", &[
    ("    harbour.example/rent: monthly\n", "    harbour.example/lease: monthly\n"),
    ("    port: 80\n    protocol: HTTP\n", "    port: 443\n    protocol: HTTPS\n    tls:\n      mode: Terminate\n"),
])]
#[case::renamed_object("renamed_object", &[("name: berth", "name: mooring"), ("http://$berth/ship", "http://$mooring/ship")])]
#[case::command_removed("command_removed", &[("Finally, take the guard away.\n\n```bash\nkubectl delete PeerAuthentication default -n quay-one\n```\n", "")])]
#[case::command_replaced("command_replaced", &[
    ("kubectl delete PeerAuthentication default -n quay-one", "kubectl patch PeerAuthentication default -n quay-one --type merge -p '{\"spec\": {\"mtls\": {\"mode\": \"DISABLE\"}}}'"),
])]
#[case::promise_turned("promise_turned", &[("never speak clear text", "may speak clear text"), ("must answer 503", "must answer 502")])]
#[case::opposite_word("opposite_word", &[("keeps every berth encrypted", "keeps every berth unencrypted")])]
#[case::html_added("html_added", &[("## Leave the harbour\n", "## Leave the harbour\n\n<div class=\"note\">\nShips must pay\n<code>8</code>.\n</div>\n")])]
#[case::limit_lifted("limit_lifted", &[("- Only wooden ships are supported.\n", "")])]
#[case::sentence_split("sentence_split", &[
    ("Pilots that were there before the lighthouse have to be woken: `kubectl rollout restart deployment/pilot`",
     "Pilots may be there before the lighthouse. They have to be woken with `kubectl rollout restart deployment/pilot -n harbour-system`."),
])]
#[case::tab_removed("tab_removed", &[("# [Owned](#tab/owned)\n\n1. Pay for it.\n", "<!--\n"), ("    EOF\n    ```\n\n---\n", "    EOF\n    ```\n-->\n")])]
#[case::tab_added("tab_added", &[
    ("# [Owned](#tab/owned)\n", "# [Shared](#tab/shared)\n\n```yaml\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata:\n  \
      name: common\n  namespace: quay-one\nspec:\n  gatewayClassName: harbour-shared\n```\n\n# [Owned](#tab/owned)\n"),
])]
#[case::section_added("section_added", &[
    ("## Leave the harbour\n", "## Light the beacon\n\nFrom v2.1 on every harbour has a beacon. It is optional.\n\n```console\n$ kubectl get \
      beacon north -n quay-one\nNAME    READY   AGE\nnorth   True    3m\n```\n\n```yaml\napiVersion: harbour.example/v1\nkind: Beacon\n\
      metadata:\n  name: north\n  namespace: quay-one\n```\n\n## Leave the harbour\n"),
])]
#[case::manifest_with_a_slip("manifest_with_a_slip", &[("  name: quay-one\n  labels:\n    pilots: enabled\n", "  name: quay-one\n   labels:\n    pilots: enabled\n")])]
#[case::undated("undated", &[("ms.date: 3/7/2025\n", "")])]
fn an_edition_is_told_by_what_it_changes(#[case] name: &str, #[case] replacements: &[(&str, &str)]) {
    let comparison = check(&edition(replacements));
    let told = classes(&comparison) != classes(&check(FIRST));
    assert_eq!(told, name != "undated", "{:?}", classes(&comparison));
    insta::assert_snapshot!(name, report::text(&comparison, "later.md", false));
}

/// A promise about a label, in other words, beside the same one about another label: both stand.
#[test]
fn a_promise_about_one_label_is_not_taken_for_one_about_another() {
    let never = "Berths on a quay that carries the label `pilots: enabled` never speak clear text.";
    for (mine, other) in [
        (
            "Berths of any quay with a label `pilots: enabled` never speak clear text.",
            "Berths on a quay that carries the label `pilots.example/rev: v<version>` never speak clear text.",
        ),
        (
            never,
            "Berths on a quay that carries the label `pilots.example/rev: v<version>` never speak clear text.",
        ),
    ] {
        for both in [format!("{mine}\n>\n> {other}"), format!("{other}\n>\n> {mine}")] {
            let comparison = check(&edition(&[(never, &both)]));
            let changed = comparison.fragments.iter().flat_map(|finding| &finding.changes);
            let changes: Vec<_> = changed.filter(|change| change.fact == "code").collect();
            assert!(changes.is_empty(), "{changes:?}");
            let new: Vec<_> =
                comparison.fragments.iter().filter(|finding| finding.class == Class::New).collect();
            assert!(new.len() == 1 && new[0].says.contains("pilots.example/rev"), "{new:?}");
        }
    }
}

#[test]
fn labels_of_a_sentence_are_a_set() {
    let never = "carries the label `pilots: enabled` never speak";
    let changes = |now: &str| {
        let comparison = check(&edition(&[(never, now)]));
        let finding =
            comparison.fragments.into_iter().find(|f| f.id.as_deref() == Some("never-clear-text")).unwrap();
        let show = |value: Option<String>| value.unwrap_or_default();
        let codes = finding.changes.into_iter().filter(|change| change.fact == "code");
        codes.map(|change| format!("{} -> {}", show(change.old), show(change.new))).collect::<Vec<_>>()
    };
    assert_eq!(changes("carries the label `pilots: enabled`, `pilots: enabled` alone, never speak"), [""; 0]);
    assert_eq!(
        changes("carries the label `pilots` or `rev` (`pilots: enabled` or `rev: 1`) never speak"),
        [" -> rev", " -> rev: 1"]
    );
    assert_eq!(
        changes("carries the label `berths: many` and `pilots: asleep` never speak"),
        ["pilots: enabled -> pilots: asleep", " -> berths: many"]
    );
}

/// Pages of the same family: they share the family's manifests and manners, and are about something else.
const REWRITE: &str = "# Another name for a ship

Ships can be given another name while they cross the harbour. This page shows how.

```yaml
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata:
  name: berth
  namespace: quay-one
spec:
  gatewayClassName: harbour-external
  listeners:
  - name: http
    port: 80
    protocol: HTTP
```

```yaml
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: rename, namespace: quay-one}
spec:
  parentRefs: [{name: berth}]
  rules: [{filters: [{type: URLRewrite, urlRewrite: {hostname: ferry.example}}], backendRefs: [{name: ship, port: 8080}]}]
```

```bash
kubectl get gateway berth -n quay-one -o yaml
```

The answer must name the ferry: `curl http://$berth/ship`.
";

const SPLIT: &str = "# Two ships for one crossing

Set weights to share the passengers among two ships.

```bash
HARBOUR='<name of the harbour>'
az harbour show --name $HARBOUR
```

```yaml
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: share, namespace: quay-one}
spec:
  rules: [{backendRefs: [{name: ship-one, port: 8080, weight: 50}, {name: ship-two, port: 8080, weight: 50}]}]
```

Half of the requests must be answered by each of the ships.
";

const BACKEND_TLS: &str = "# Sealed holds

Ships may seal their holds. The harbour then checks the seal.

```yaml
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: seal, namespace: quay-one}
spec:
  targetRefs: [{group: '', kind: Service, name: ship}]
  validation: {hostname: ship.example, caCertificateRefs: [{group: '', kind: ConfigMap, name: seals}]}
```

```bash
kubectl get pods -n harbour-system
```

A ship whose seal is broken must be answered with 503.
";

#[rstest]
#[case::rewrite(REWRITE)]
#[case::split(SPLIT)]
#[case::backend_tls(BACKEND_TLS)]
#[case::a_word("Soup.\n")]
fn a_page_of_the_same_family_is_no_edition(#[case] page: &str) {
    let likeness = super::super::compare::likeness(&known(), &read(page).1);
    assert!(likeness < super::super::compare::EDITION, "{likeness}");
}

#[test]
fn an_edition_is_one_however_much_of_it_changed() {
    let likeness = |text: &str| super::super::compare::likeness(&known(), &read(text).1);
    assert!((likeness(FIRST) - 1.0).abs() < 1e-9);
    assert!(likeness(LATER) > super::super::compare::EDITION, "{}", likeness(LATER));
}
