//! Keeping traffic at home: containers of a network may not reach out of the host.
//!
//! One rule in `DOCKER-USER`, the chain Docker leaves to people: what comes from the network's bridge and
//! would leave by the default route's interface is rejected. Other networks are not affected.

use super::{Engine, EngineError};
use crate::supply::command::{CommandError, Tool};

/// Programs that may hold Docker's chains, depending on the host.
const PROGRAMS: [&str; 3] = ["iptables", "iptables-nft", "iptables-legacy"];

/// Rejects traffic from the containers of `network` to anywhere beyond this host. Repeatable.
///
/// # Errors
/// The network does not exist, or the rule cannot be set (it takes root).
pub async fn block(engine: &Engine, network: &str) -> Result<(), EngineError> {
    let Some(out) = default_interface() else { return Ok(()) };
    let bridge = bridge_of(engine, network).await?;
    let program = program().await?;
    if command(program, "-C", &bridge, &out).run().await.is_ok() {
        return Ok(());
    }
    command(program, "-I", &bridge, &out).run().await?;
    Ok(())
}

/// Removes the rule of [`block`]. Repeatable; nothing to do for a network that is gone with its engine.
///
/// # Errors
/// The network does not exist, or the rule cannot be removed.
pub async fn unblock(engine: &Engine, network: &str) -> Result<(), EngineError> {
    let Some(out) = default_interface() else { return Ok(()) };
    let bridge = bridge_of(engine, network).await?;
    let program = program().await?;
    while command(program, "-C", &bridge, &out).run().await.is_ok() {
        command(program, "-D", &bridge, &out).run().await?;
    }
    Ok(())
}

fn command(program: &str, action: &str, bridge: &str, out: &str) -> Tool {
    Tool::new("keep containers' traffic on this host", program)
        .args(["-w", action, "DOCKER-USER", "-i", bridge, "-o", out])
        .args(["-m", "comment", "--comment", "meshproof: stay on this host"])
        .args(["-j", "REJECT", "--reject-with", "icmp-admin-prohibited"])
}

/// The program whose tables hold Docker's chains.
async fn program() -> Result<&'static str, CommandError> {
    let mut last = None;
    for program in PROGRAMS {
        match Tool::new("look for Docker's chains", program)
            .args(["-w", "-n", "-L", "DOCKER-USER"])
            .run()
            .await
        {
            Ok(_) => return Ok(program),
            Err(error) => last = last.or(Some(error)),
        }
    }
    match last {
        Some(error) => Err(error),
        None => Ok(PROGRAMS[0]),
    }
}

/// The bridge's interface: named by an option, or after the network's id.
async fn bridge_of(engine: &Engine, network: &str) -> Result<String, EngineError> {
    let format = r#"{{with index .Options "com.docker.network.bridge.name"}}{{.}}{{else}}br-{{slice .Id 0 12}}{{end}}"#;
    let inspect =
        engine.tool("look up a network's bridge").args(["network", "inspect", "--format", format, network]);
    Ok(inspect.run().await?.trim().to_owned())
}

/// The interface of the default route; none on a host without one.
fn default_interface() -> Option<String> {
    parse_default(&std::fs::read_to_string("/proc/net/route").ok()?)
}

fn parse_default(routes: &str) -> Option<String> {
    routes.lines().skip(1).find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        (fields.get(1) == Some(&"00000000") && fields.get(7) == Some(&"00000000"))
            .then(|| fields[0].to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_route_names_the_interface() {
        let routes = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
                      br-x 000012AC 00000000 0001 0 0 0 0000FFFF 0 0 0\n\
                      eth7 00000000 0101A8C0 0003 0 0 0 00000000 0 0 0\n";
        assert_eq!(parse_default(routes).as_deref(), Some("eth7"));
        assert_eq!(parse_default("Iface\n"), None);
    }
}
