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
