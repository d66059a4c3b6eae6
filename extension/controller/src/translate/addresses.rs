//! Addresses that a Gateway asks for, and those that it gets (Gateway API, `GatewaySpec.addresses`).

use super::condition::{Refusal, Verdict};
use crate::world::{Address, Service};
use alb_api::messages::reason;
use alb_api::names;
use std::net::IpAddr;

/// The type of an address that says none.
const IP_ADDRESS: &str = "IPAddress";

/// What a Gateway asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A name: the frontend's.
    Name,
    /// Any IP address.
    AnyIp,
    /// This one.
    Ip(IpAddr),
    /// What no frontend can have, and why.
    Unusable(String),
}

/// What a Gateway of a managed load balancer asks for.
///
/// # Errors
/// An address of a type that cannot be chosen.
pub(super) fn wanted(addresses: &[Address]) -> Verdict<Wanted> {
    let (mut any_ip, mut chosen) = (false, Vec::new());
    for address in addresses {
        match (address.r#type.as_deref().unwrap_or(IP_ADDRESS), address.value.as_str()) {
            // Any name: that is what it gets anyway.
            (names::HOSTNAME_ADDRESS_TYPE, "") => {}
            (IP_ADDRESS, "") => any_ip = true,
            (IP_ADDRESS, value) => chosen.push(value),
            (kind, _) => {
                let message =
                    format!("An address (type {kind}) cannot be chosen in an ALB managed deployment");
                return Err(Refusal::new(reason::UNSUPPORTED_ADDRESS, message));
            }
        }
    }
    Ok(match chosen.as_slice() {
        [] if any_ip => Wanted::AnyIp,
        [] => Wanted::Name,
        [one] => match one.parse() {
            Ok(address) => Wanted::Ip(address),
            Err(_) => Wanted::Unusable(format!("{one:?} is not an IP address")),
        },
        several => Wanted::Unusable(format!(
            "A frontend has one IP address, and the Gateway asks for {}: {}",
            several.len(),
            several.join(", ")
        )),
    })
}

/// The addresses of a frontend whose name is `fqdn`; none yet while its Service has none.
///
/// # Errors
/// The Service has got another address than the one that was asked for.
pub(super) fn given(wanted: &Wanted, fqdn: &str, service: Option<&Service>) -> Verdict<Vec<String>> {
    let Some(service) = service.filter(|service| service.has_address) else { return Ok(Vec::new()) };
    match wanted {
        Wanted::Name => Ok(vec![fqdn.to_owned()]),
        Wanted::AnyIp => Ok(service.ips.clone()),
        Wanted::Ip(address) => {
            match service.ips.iter().find(|ip| ip.parse::<IpAddr>().is_ok_and(|ip| ip == *address)) {
                Some(ip) => Ok(vec![ip.clone()]),
                None => {
                    let got = service.ips.join(", ");
                    Err(unusable(format!("The frontend cannot have address {address}: it was given {got}")))
                }
            }
        }
        Wanted::Unusable(message) => Err(unusable(message.clone())),
    }
}

pub(super) fn unusable(message: String) -> Refusal {
    Refusal::new(reason::ADDRESS_NOT_USABLE, message)
}
