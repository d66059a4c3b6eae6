//! Keeping traffic at home: containers of a network may not reach out of the host.
//!
//! One rule in `DOCKER-USER`, the chain Docker leaves to people: what comes from the network's bridge and would be forwarded to
//! any other interface is rejected. Other networks are not affected.

use std::path::Path;

use super::{Engine, EngineError};
use crate::command::{CommandError, Tool};

/// Programs that may hold Docker's chains, depending on the host.
const PROGRAMS: [&str; 3] = ["iptables", "iptables-nft", "iptables-legacy"];

/// Marks the rules of this module.
pub(super) const MARK: &str = "meshproof: stay on this host";

/// Rejects traffic from the containers of `network` to anywhere but that network and this host. Repeatable.
///
/// # Errors
/// The network does not exist, or the rule cannot be set (it takes root).
pub async fn block(engine: &Engine, network: &str) -> Result<(), EngineError> {
    let bridge = bridge_of(engine, network).await?;
    let program = program().await?;
    if command(program, "-C", &bridge).run().await.is_ok() {
        return Ok(());
    }
    command(program, "-I", &bridge).run().await?;
    Ok(())
}

/// What setting the rule changes on the host; nothing if it is there, or the engine is a private one, whose rules come and go with it.
pub async fn change(engine: &Engine, network: &str) -> Option<String> {
    if engine.is_private() || is_blocked(engine, network).await {
        return None;
    }
    Some("add a rule to the chain DOCKER-USER, by which pods do not reach out of this host; it goes with `meshproof down`".to_owned())
}

async fn is_blocked(engine: &Engine, network: &str) -> bool {
    let (Ok(bridge), Ok(program)) = (bridge_of(engine, network).await, program().await) else { return false };
    command(program, "-C", &bridge).run().await.is_ok()
}

/// Removes the rules of [`block`] whose network is gone, however it went. Repeatable; where Docker has no chains there is
/// nothing to do.
///
/// # Errors
/// A rule cannot be removed.
pub async fn sweep() -> Result<(), EngineError> {
    let Ok(program) = program().await else { return Ok(()) };
    let list = Tool::new("list the rules of DOCKER-USER", program).args(["-w", "-S", "DOCKER-USER"]);
    let rules = list.run().await?;
    let gone = |bridge: &str| !Path::new("/sys/class/net").join(bridge).exists();
    for number in stale(&rules, gone) {
        let delete = Tool::new("remove a rule about a network that is gone", program);
        delete.args(["-w", "-D", "DOCKER-USER", &number.to_string()]).run().await?;
    }
    Ok(())
}

/// Numbers of our rules about bridges that are gone, the last first: removing one changes the numbers of those after it.
fn stale(rules: &str, gone: impl Fn(&str) -> bool) -> Vec<usize> {
    let bridge =
        |line: &str| line.split_whitespace().skip_while(|word| *word != "-i").nth(1).map(str::to_owned);
    let numbered = rules.lines().filter(|line| line.starts_with("-A ")).zip(1..);
    let ours =
        numbered.filter(|(line, _)| line.contains(MARK) && bridge(line).is_some_and(|name| gone(&name)));
    let mut numbers: Vec<usize> = ours.map(|(_, number)| number).collect();
    numbers.reverse();
    numbers
}

fn command(program: &str, action: &str, bridge: &str) -> Tool {
    Tool::new("keep containers' traffic on this host", program)
        .args(["-w", action, "DOCKER-USER", "-i", bridge, "!", "-o", bridge])
        .args(["-m", "comment", "--comment", MARK])
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_about_networks_that_are_gone_are_removed_from_the_last_on() {
        let rule = |bridge: &str, comment: &str| {
            format!("-A DOCKER-USER -i {bridge} ! -o {bridge} -m comment --comment \"{comment}\" -j REJECT\n")
        };
        let rules = [
            "-N DOCKER-USER\n".to_owned(),
            rule("br-gone1", MARK),
            rule("br-here", MARK),
            rule("br-gone2", "somebody else's"),
            rule("br-gone2", MARK),
            "-A DOCKER-USER -j RETURN\n".to_owned(),
        ];
        assert_eq!(stale(&rules.concat(), |bridge| bridge.starts_with("br-gone")), [4, 1]);
    }
}
