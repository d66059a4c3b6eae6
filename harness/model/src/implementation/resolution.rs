//! From the address in a Gateway's status to the Service behind it.

/// How the address in a Gateway's status leads to a load-balancer address. One that is an IP address is used as it is,
/// whatever the gateway otherwise does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// It is an IP address.
    Itself,
    /// A name in a DNS zone; its first label names the Service.
    Zone {
        /// The zone, without a dot in front.
        zone: String,
        /// Namespace of the Services.
        namespace: String,
    },
    /// A name that DNS knows, which is asked anew by each claim: nothing is known of a Service behind it.
    Dns,
    /// The name of a Service in the cluster: `<service>.<namespace>.svc.…`.
    ClusterService,
}

impl Resolution {
    /// Namespace and name of the Service behind `fqdn`, or why there is none.
    pub fn service<'a>(&'a self, fqdn: &'a str) -> Result<(&'a str, &'a str), String> {
        match self {
            Self::Itself => Err("it is no IP address".into()),
            Self::Dns => Err("DNS alone knows what it leads to".into()),
            Self::Zone { zone, namespace } => {
                let label = fqdn.strip_suffix(zone.as_str()).and_then(|label| label.strip_suffix('.'));
                let label = label.ok_or_else(|| format!("it is no name in the zone {zone}"))?;
                Ok((namespace.as_str(), label))
            }
            Self::ClusterService => {
                let mut labels = fqdn.split('.');
                match (labels.next(), labels.next(), labels.next()) {
                    (Some(name), Some(namespace), Some("svc")) => Ok((namespace, name)),
                    _ => Err("it is no name of a Service (<service>.<namespace>.svc.…)".into()),
                }
            }
        }
    }
}
