//! Names derived from other names. They are stable: the same input gives the same name in every replica,
//! every version and every cluster.

use sha2::{Digest as _, Sha256};

const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// Eight lowercase alphanumeric characters that stand for `parts`.
pub fn hash8(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        // The length keeps ("ab", "c") and ("a", "bc") apart.
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    digest
        .finalize()
        .iter()
        .take(8)
        .map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]))
        .collect()
}

/// Name of the frontend of an ALB-managed Gateway: `fe-` and eight characters (R24).
pub fn managed_frontend_name(load_balancer: &str, gateway_namespace: &str, gateway_name: &str) -> String {
    format!("fe-{}", hash8(&[load_balancer, gateway_namespace, gateway_name]))
}

/// Fully qualified name of a frontend, as published in the Gateway's status (R27).
pub fn fqdn(frontend: &str, zone: &str) -> String {
    format!("{frontend}.{zone}")
}

/// Name of the resource that stands for an ApplicationLoadBalancer in Azure: `alb-` and eight characters.
pub fn traffic_controller_name(load_balancer: &str) -> String {
    format!("alb-{}", hash8(&[load_balancer]))
}

/// Resource id of an ApplicationLoadBalancer. The subscription is all zeros: it does not exist in Azure.
pub fn traffic_controller_id(load_balancer: &str) -> String {
    format!(
        "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/in-cluster/providers/\
         Microsoft.ServiceNetworking/trafficControllers/{}",
        traffic_controller_name(load_balancer)
    )
}

/// Name of the proxies' Deployment of a load balancer.
pub fn proxy_deployment_name(load_balancer: &str) -> String {
    format!("alb-proxy-{}", hash8(&[load_balancer]))
}

/// Value of the label that ties data-plane objects to their load balancer: `<namespace>.<name>`, or, where
/// that is no valid label value (bring your own, long names), the traffic controller's name.
pub fn load_balancer_label(load_balancer: &str) -> String {
    let readable = load_balancer.replace('/', ".");
    let valid = readable.len() <= 63
        && readable.starts_with(|c: char| c.is_ascii_alphanumeric())
        && readable.ends_with(|c: char| c.is_ascii_alphanumeric())
        && readable.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if valid { readable } else { traffic_controller_name(load_balancer) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_managed_frontend_is_named_fe_and_eight_characters() {
        let name = managed_frontend_name("alb-test-infra/alb-test", "isto-example-namespace", "gateway-01");
        let (prefix, hash) = name.split_at(3);
        assert_eq!(prefix, "fe-");
        assert_eq!(hash.len(), 8);
        assert!(hash.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()), "{name}");
    }

    #[test]
    fn names_never_change_between_versions() {
        assert_eq!(managed_frontend_name("a/b", "c", "d"), managed_frontend_name("a/b", "c", "d"));
        assert_ne!(hash8(&["ab", "c"]), hash8(&["a", "bc"]));
        assert_ne!(managed_frontend_name("a/b", "c", "d"), managed_frontend_name("a/b", "c", "e"));
    }

    #[test]
    fn a_label_value_is_always_valid() {
        assert_eq!(load_balancer_label("alb-test-infra/alb-test"), "alb-test-infra.alb-test");
        assert!(load_balancer_label("/subscriptions/x/y").starts_with("alb-"));
        let long = format!("{}/{}", "n".repeat(60), "m".repeat(60));
        assert!(load_balancer_label(&long).len() <= 63);
    }
}
