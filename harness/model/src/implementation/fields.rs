//! What an implementation file holds.

use super::FINDING_IDS;
use crate::diagnoses::DIAGNOSES;
use crate::scenario::head::{LIMIT, VARIABLES};
use crate::schema::{Field, Type};

const IN_NAMESPACE: Type = Type::Form("^[^/]+/[^/]+$", "`NAMESPACE/NAME`");
/// A file that extends another takes an object, or all of them, out by saying nothing.
const OBJECTS: Type = Type::Any(&[Type::Names(&Type::Any(&[Type::Object, Type::Nothing])), Type::Nothing]);
const DURATION: Type = Type::Defined("duration", "a duration: `500ms`, `30s`, `2m`");
const NAME: Type = Type::Form("^[a-z0-9-]+$", "lower-case letters, digits and `-`");
/// Why something is expected or not promised.
pub const REASON: Type = Type::Form("[A-Za-z]", "a sentence that says why");

/// Keys of an implementation file.
pub const FIELDS: &[Field] = &[
    Field::needed("name", NAME, "Short name, as its file is called; also a folder of snapshots."),
    Field::optional(
        "extends",
        Type::OneOrMore(&Type::Text),
        "Files whose content this one has, too, seen from this one; what it says itself stands over that, key by key, and `~` takes a key out.",
    )
    .or("none"),
    Field::optional("version", Type::Text, "Its version.").or("it comes with Istio and has Istio's"),
    Field::optional("pack", Type::Text, "The pack that its waivers and expectations are about.").or("any"),
    Field::optional("vars", VARIABLES, "What is left to whoever runs it, used as `${vars.NAME}`.").or("none"),
    Field::needed("gateway-class", Type::Text, "Its GatewayClass."),
    Field::needed("controller", Type::Text, "`spec.controllerName` of that class."),
    Field::optional(
        "installed",
        Type::Bool,
        "It is there already: its GatewayClass and what `requires` says are looked for, and nothing of it is installed or removed.",
    )
    .or("false"),
    Field::optional(
        "requires",
        Type::Map(REQUIRES),
        "What must be there of one that is installed already, beside its GatewayClass.",
    )
    .or("nothing"),
    Field::optional(
        "releases",
        Type::Any(&[Type::List(&Type::Map(RELEASE)), Type::Nothing]),
        "Its helm releases, in the order of installation.",
    )
    .or("none"),
    Field::optional(
        "namespaces",
        Type::Any(&[Type::List(&Type::Text), Type::Nothing]),
        "Namespaces that are its own: emptied after its releases.",
    )
    .or("none"),
    Field::optional(
        "manifests",
        Type::Any(&[Type::List(&Type::Map(MANIFESTS)), Type::Nothing]),
        "Plain manifests, installed after the releases and removed before them.",
    )
    .or("none"),
    Field::optional(
        "objects",
        OBJECTS,
        "Objects that it needs beside its releases: applied after them, removed before them. Each has a name here; texts may hold `${images.NAME}`, `${implementation.class}`, `${implementation.controller}` and `${mesh.trust-domain}`.",
    )
    .or("none"),
    Field::optional(
        "per-namespace",
        OBJECTS,
        "Objects for every namespace that a scenario makes; texts may hold `${namespace}`, too.",
    )
    .or("none"),
    Field::optional(
        "per-service",
        OBJECTS,
        "Objects for every Service that a scenario makes in a namespace of the mesh; texts may hold `${namespace}`, `${service.name}` and `${service.account}`, too.",
    )
    .or("none"),
    Field::needed("address", Type::Map(ADDRESS), "The address in a Gateway's status."),
    Field::needed(
        "proxies",
        Type::Map(PROXIES),
        "Its data plane; texts may hold `${gateway.namespace}` and `${gateway.name}`.",
    ),
    Field::needed(
        "identity",
        Type::Any(&[Type::OneOf(&["none"]), Type::Map(IDENTITY)]),
        "Who it is to the mesh: `none` for one that has not joined it.",
    ),
    Field::optional(
        "reaches-pods",
        Type::OneOf(&[
            "clear-text",
            "mutual-tls",
            "mutual-tls-istio-alpn",
            "mutual-tls-http2",
            "sidecar-to-service",
            "sidecar-to-pods",
        ]),
        "How it reaches the pods behind it; `implementations/reach/` has what is expected of each way.",
    )
    .or("it is not said"),
    Field::optional("limits", Type::Map(LIMITS), "Its own time limits, where those of the scenarios are too short.")
        .or("those of the scenarios"),
    Field::optional(
        "leader-election",
        Type::List(&Type::Map(ELECTION)),
        "Deployments of whose pods one at a time is active.",
    )
    .or("none"),
    Field::optional(
        "conformance",
        Type::Map(CONFORMANCE),
        "What the Gateway API's conformance suite is told of it (`meshproof conformance`).",
    )
    .or("it cannot be put to the suite"),
    Field::optional("messages", Type::Map(MESSAGES), "What it writes into the conditions of a status.")
        .or("none"),
    Field::optional(
        "diagnoses",
        Type::Any(&[DIAGNOSES, Type::Nothing]),
        "Causes that are its own, with the facts by which they are recognised.",
    )
    .or("none"),
    Field::optional(
        "words",
        Type::Map(WORDS),
        "Its own words for what went wrong, by which a diagnosis knows what it says.",
    )
    .or("none"),
    Field::optional("waived", Type::Map(WAIVED), "What it does not promise, each with the reason.")
        .or("nothing"),
    Field::optional(
        "expectations",
        Type::Names(&Type::Any(&[
            Type::Defined("expectation", "what is expected instead"),
            Type::Nothing,
        ])),
        "What is expected instead of what the scenarios say, by the step's label (`as:`).",
    )
    .or("nothing"),
];

const RELEASE: &[Field] = &[
    Field::needed("name", Type::Text, "Name of the release."),
    Field::needed(
        "chart",
        Type::Text,
        "Chart: what `helm install` takes; a directory, with a dot in front, seen from this file; or `${charts.NAME}`, made from a pinned module.",
    ),
    Field::needed("version", Type::Text, "Version of the chart."),
    Field::needed("namespace", Type::Text, "Its namespace; created if missing."),
    Field::optional(
        "values",
        Type::Object,
        "Values; may hold `${images.NAME}`, and `.repository` or `.tag` of it.",
    )
    .or("none"),
    Field::optional(
        "edition",
        Type::Map(EDITION),
        "The value that tells the chart which edition of the document to follow.",
    )
    .or("it knows no editions"),
    Field::optional("in-mesh", Type::Bool, "Istio injects its pods, so Istio comes first.").or("false"),
    Field::optional(
        "deployments",
        Type::List(&Type::Text),
        "Deployments whose readiness means that the release is ready; `NAMESPACE/NAME` where that is not the release's namespace.",
    )
    .or("none"),
];

const EDITION: &[Field] = &[
    Field::needed("value", Type::Text, "Name of the value."),
    Field::needed("default", Type::Text, "The edition that the chart follows without it."),
    Field::optional(
        "versions",
        Type::Names(&Type::Text),
        "Versions under which the document installs the chart in other editions.",
    )
    .or("always that of the release"),
];

const WORDS: &[Field] = &[
    Field::optional(
        "extension-events",
        Type::Names(&Type::OneOf(&FINDING_IDS)),
        "Reasons of Events of its extension's pods, each with the diagnosis that it means.",
    )
    .or("none"),
    Field::optional("integrated", Type::Text, "Reason of the Event that ends such a finding.")
        .or("nothing does"),
    Field::optional(
        "not-integrated",
        Type::Text,
        "How the message of such an Event begins, before what is wrong.",
    )
    .or("with what is wrong"),
    Field::optional(
        "configuration-refused",
        Type::Text,
        "What the message of a condition holds when a proxy has refused the configuration.",
    )
    .or("nothing is told of it"),
    Field::optional(
        "no-proxy",
        Type::OneOrMore(&Type::Text),
        "Messages of a Gateway's condition Programmed while no proxy serves it.",
    )
    .or("nothing is told of it"),
    Field::optional(
        "certificate-expired",
        Type::Text,
        "What its extension logs of a certificate that has expired.",
    )
    .or("nothing is told of it"),
];

const REQUIRES: &[Field] = &[
    Field::optional("namespaces", Type::List(&Type::Text), "Namespaces.").or("none"),
    Field::optional("deployments", Type::List(&IN_NAMESPACE), "Deployments that are ready.").or("none"),
    Field::optional("definitions", Type::List(&Type::Text), "Resource definitions, by name.").or("none"),
];

const MANIFESTS: &[Field] = &[
    Field::needed(
        "files",
        Type::OneOrMore(&Type::Text),
        "Files, or folders of them, seen from this one; may hold `${images.NAME}`.",
    ),
    Field::optional("namespace", Type::Text, "Namespace of the objects that name none.").or("default"),
    Field::optional("in-mesh", Type::Bool, "Istio injects its pods, so Istio comes first.").or("false"),
    Field::optional(
        "deployments",
        Type::List(&IN_NAMESPACE),
        "Deployments whose readiness means that it is installed.",
    )
    .or("none"),
];

const LIMITS: &[Field] = &[
    Field::optional("rollout", DURATION, "For pods of the implementation or the sample.").or("120s"),
    Field::optional("programmed", DURATION, "For the controller's word on an object, data plane included.")
        .or("60s"),
    Field::optional("answers", DURATION, "For a change of the configuration to show in answers.").or("30s"),
    Field::optional("drain", DURATION, "For connections from before a change to be gone.").or("90s"),
    Field::optional("gone", DURATION, "For a scenario's objects to be gone at its end.").or("120s"),
    Field::optional("install", DURATION, "For the pods of a release to become ready.").or("180s"),
];

const ADDRESS: &[Field] = &[
    Field::needed(
        "type",
        Type::OneOf(&["Hostname", "IPAddress"]),
        "Type of the address (Gateway API, GatewayStatusAddress).",
    ),
    Field::needed("value", Type::AnyText, "What it looks like; `*` and `?` stand for what differs."),
    Field::needed(
        "resolve",
        Type::Any(&[Type::OneOf(&["itself", "dns", "service"]), Type::Map(ZONE)]),
        "How it leads to an address that this host can connect to.",
    ),
];

const ZONE: &[Field] = &[
    Field::needed(
        "zone",
        Type::Form("^[a-z0-9-]+(\\.[a-z0-9-]+)*$", "a DNS zone in lower case"),
        "A DNS zone: the first label of a name in it is the name of a Service.",
    ),
    Field::needed("namespace", Type::Text, "Namespace of these Services."),
];

const PROXIES: &[Field] = &[
    Field::needed("namespace", Type::AnyText, "Namespace of its pods."),
    Field::needed("selector", Type::AnyText, "Their label selector."),
    Field::optional("container", Type::Text, "The container that keeps the access log.").or("the only one"),
    Field::needed(
        "access-log",
        Type::Any(&[Type::OneOf(&["alb", "istio", "none"]), Type::Map(LOG)]),
        "The form of the access log on their standard output: this workspace's, that of meshproof's Istio, none that can be read, or JSON with fields of its own.",
    ),
];

const LOG: &[Field] = &[
    Field::needed(
        "fields",
        Type::Map(LOG_FIELDS),
        "Which field of a line holds what: a name, or a path with dots.",
    ),
    Field::optional("reasons", Type::Names(&Type::Text), "The harness's words for its reasons.")
        .or("its own"),
];

const LOG_FIELDS: &[Field] = &[
    Field::needed("status", Type::Text, "Status sent to the client."),
    Field::any_of("request-id", Type::Text, "`x-request-id` as the client sent it."),
    Field::any_of("traceparent", Type::Text, "`traceparent` (W3C Trace Context) as the client sent it."),
    Field::optional("time", Type::Text, "When the exchange ended (RFC 3339).").or("not told"),
    Field::optional("path", Type::Text, "Path as received.").or("not told"),
    Field::optional("reason", Type::Text, "Why it answered so.").or("not told"),
    Field::optional("upstream-address", Type::Text, "Address of the pod that was asked.").or("not told"),
    Field::optional("client-identity", Type::Text, "SPIFFE id of the certificate that it showed to the pod.")
        .or("not told"),
    Field::optional("server-identity", Type::Text, "SPIFFE id of the certificate that the pod showed.")
        .or("not told"),
];

const IDENTITY: &[Field] = &[
    Field::needed(
        "spiffe",
        Type::Form("^spiffe://", "`spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT`"),
        "Its SPIFFE id.",
    ),
    Field::needed(
        "certificate",
        Type::Any(&[Type::OneOf(&["envoy", "sidecar", "none"]), Type::Map(SECRET)]),
        "Where its certificate can be seen: in the Envoy of a proxy, in that of its sidecar, in a Secret, or nowhere but on the wire.",
    ),
];

const SECRET: &[Field] = &[Field::needed(
    "secret",
    Type::Form("^[^/]*/", "`NAMESPACE/NAME`"),
    "Secret with the certificate under `tls.crt`.",
)];

const ELECTION: &[Field] = &[
    Field::needed("deployment", IN_NAMESPACE, "The Deployment."),
    Field::needed("lease", IN_NAMESPACE, "The Lease by which its pods elect a leader."),
    Field::needed("service-account", Type::AnyText, "Their service account, in the Deployment's namespace."),
];

const CONFORMANCE: &[Field] = &[
    Field::needed(
        "profiles",
        Type::List(&Type::Text),
        "Profiles of the suite that it is put to, e.g. `GATEWAY-HTTP`.",
    ),
    Field::needed("organization", Type::Text, "Whose it is, for the suite's report."),
    Field::needed("url", Type::Text, "Where to read more, for the suite's report."),
    Field::needed("contact", Type::List(&Type::Text), "Whom to ask, for the suite's report."),
    Field::optional(
        "features",
        Type::List(&Type::Text),
        "Features that it claims beside those of its GatewayClass's status.",
    )
    .or("none"),
    Field::optional(
        "values",
        Type::Names(&Type::Object),
        "Values over those of its releases, by release, while the suite runs.",
    )
    .or("none"),
    Field::optional(
        "manifests",
        Type::List(&Type::Text),
        "Files, seen from this one, that are applied before the suite runs and removed afterwards.",
    )
    .or("none"),
    Field::optional("usable-address", Type::Text, "IP address that a Gateway may ask for.")
        .or("one of the cluster's own load balancer, where meshproof made the cluster"),
    Field::optional("unusable-address", Type::Text, "IP address that no Gateway can have.")
        .or("one for documentation (RFC 5737)"),
];

const MESSAGES: &[Field] = &[
    Field::optional("gateway", Type::Names(&Type::AnyText), "By type of condition: of Gateways."),
    Field::optional("listener", Type::Names(&Type::AnyText), "Of listeners."),
    Field::optional("httproute", Type::Names(&Type::AnyText), "Of HTTPRoutes."),
];

const WAIVED: &[Field] = &[
    Field::optional("requirements", Type::Names(&REASON), "Requirements, by id: never counted as proved."),
    Field::optional("steps", Type::Names(&REASON), "Steps of the scenarios, by label: not taken."),
    Field::optional("witnesses", Type::Names(&Type::Map(WITNESS)), "Witnesses that are not heard, by name."),
    Field::optional(
        "kinds",
        Type::Defined("kinds", "kinds, each with the reason"),
        "Kinds of objects: left out of what is applied.",
    ),
];

const WITNESS: &[Field] = &[
    Field::needed(
        "shows",
        Type::OneOrMore(&Type::Text),
        "The requirements that stand on it; each is waived, too.",
    ),
    Field::needed("because", REASON, "Why."),
];

/// Keys of what is expected of a step instead; a step of which nothing is promised may have any other of its own there, too.
pub const EXPECTATION: &[Field] = &[
    Field::needed("because", REASON, "Why."),
    Field::optional(
        "still-proves",
        Type::Names(&REASON),
        "Requirements that the step proves all the same, each with the reason.",
    ),
    Field::optional(
        "becomes",
        Type::Any(&[Type::Object, Type::Text]),
        "Stands instead of the step's own; a file is seen from this one.",
    ),
    Field::optional(
        "become",
        Type::Any(&[Type::Object, Type::Text, Type::List(&Type::Object)]),
        "Stands instead of the step's own.",
    ),
    Field::optional("within", LIMIT, "Time limit."),
    Field::optional("stays", Type::Text, "How long it goes on holding."),
];
