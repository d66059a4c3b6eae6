//! What an implementation file holds.

use crate::scenario::head::{LIMIT, VARIABLES};
use crate::schema::{Field, Type};

const IN_NAMESPACE: Type = Type::Form("^[^/]+/[^/]+$", "`NAMESPACE/NAME`");
const NAME: Type = Type::Form("^[a-z0-9-]+$", "lower-case letters, digits and `-`");
/// Why something is expected or not promised.
pub const REASON: Type = Type::Form("[A-Za-z]", "a sentence that says why");

/// Keys of an implementation file.
pub const FIELDS: &[Field] = &[
    Field::needed("name", NAME, "Short name, as its file is called; also a folder of snapshots."),
    Field::optional("version", Type::Text, "Its version.").or("it comes with Istio and has Istio's"),
    Field::optional("pack", Type::Text, "The pack that its waivers and expectations are about.").or("any"),
    Field::optional("vars", VARIABLES, "What is left to whoever runs it, used as `${vars.NAME}`.").or("none"),
    Field::needed("gateway-class", Type::Text, "Its GatewayClass."),
    Field::needed("controller", Type::Text, "`spec.controllerName` of that class."),
    Field::optional(
        "releases",
        Type::List(&Type::Map(RELEASE)),
        "Its helm releases, in the order of installation.",
    )
    .or("none"),
    Field::optional(
        "namespaces",
        Type::List(&Type::Text),
        "Namespaces that are its own: emptied after its releases.",
    )
    .or("none"),
    Field::needed("address", Type::Map(ADDRESS), "The address in a Gateway's status."),
    Field::needed(
        "proxies",
        Type::Map(PROXIES),
        "Its data plane; texts may hold `${gateway.namespace}` and `${gateway.name}`.",
    ),
    Field::needed("identity", Type::Map(IDENTITY), "Who it is to the mesh."),
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
    Field::optional("waived", Type::Map(WAIVED), "What it does not promise, each with the reason.")
        .or("nothing"),
    Field::optional(
        "expectations",
        Type::Names(&Type::Defined("expectation", "what is expected instead")),
        "What is expected instead of what the scenarios say, by the step's label (`as:`).",
    )
    .or("nothing"),
];

const RELEASE: &[Field] = &[
    Field::needed("name", Type::Text, "Name of the release."),
    Field::needed(
        "chart",
        Type::Text,
        "Chart: what `helm install` takes, or a directory, with a dot in front, seen from this file.",
    ),
    Field::needed("version", Type::Text, "Version of the chart."),
    Field::needed("namespace", Type::Text, "Its namespace; created if missing."),
    Field::optional(
        "values",
        Type::Object,
        "Values; may hold `${images.NAME}`, and `.repository` or `.tag` of it.",
    )
    .or("none"),
    Field::optional("in-mesh", Type::Bool, "Istio injects its pods, so Istio comes first.").or("false"),
    Field::optional(
        "deployments",
        Type::List(&Type::Text),
        "Deployments whose readiness means that the release is ready.",
    )
    .or("none"),
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
        Type::Any(&[Type::OneOf(&["itself", "cluster-service"]), Type::Map(ZONE)]),
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
    Field::needed(
        "access-log",
        Type::OneOf(&["alb", "istio", "none"]),
        "The form of the access log on their standard output.",
    ),
];

const IDENTITY: &[Field] = &[
    Field::needed(
        "spiffe",
        Type::Form("^spiffe://", "`spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT`"),
        "Its SPIFFE id.",
    ),
    Field::needed(
        "certificate",
        Type::Any(&[Type::OneOf(&["envoy"]), Type::Map(SECRET)]),
        "Where its certificate can be seen: in the Envoy of a proxy, or in a Secret.",
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
];

const MESSAGES: &[Field] = &[
    Field::optional("gateway", Type::Names(&Type::AnyText), "By type of condition: of Gateways."),
    Field::optional("listener", Type::Names(&Type::AnyText), "Of listeners."),
    Field::optional("httproute", Type::Names(&Type::AnyText), "Of HTTPRoutes."),
];

const WAIVED: &[Field] = &[
    Field::optional("requirements", Type::Names(&REASON), "Requirements, by id: never counted as proved."),
    Field::optional("steps", Type::Names(&REASON), "Steps of the scenarios, by label: not taken."),
    Field::optional(
        "kinds",
        Type::Defined("kinds", "kinds, each with the reason"),
        "Kinds of objects: left out of what is applied.",
    ),
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
