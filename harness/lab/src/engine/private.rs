//! The private engine: a dockerd of our own beside whatever the user has.

use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::layout::{Layout, layout};
use super::process::{ProcessId, signal, wait_gone};
use super::{Engine, EngineError, capability, io, leftovers, server_version, users_engine};
use crate::cache::Cache;
use crate::command::{Tool, on_path};
use crate::host;
use meshproof_model::progress::Progress;

/// The runtime for hosts without CAP_SYS_RESOURCE.
const RUNTIME: &str = include_str!("../../../../kind-config/engine/oci-runtime-without-sys-resource");
const RUNTIME_NAME: &str = "without-sys-resource";
/// How long dockerd may take to answer. Two seconds are usual; a large data root after a crash takes more.
const START_LIMIT: Duration = Duration::from_secs(90);
/// How long dockerd may take to end once its containers are gone.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// What a host was like before the engine changed it.
#[derive(Debug, Serialize, Deserialize)]
struct Before {
    /// dockerd turns forwarding on, and then sets the policy of FORWARD to DROP.
    forwarding: bool,
    /// The policy of FORWARD, if it could be told.
    #[serde(default)]
    policy: Option<String>,
    /// Docker's chains were there: they are another engine's, which need not run when this one stops.
    #[serde(default)]
    chains: bool,
}

/// What is remembered about a running engine.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    process: ProcessId,
    shim: bool,
}

impl Layout {
    fn socket(&self) -> PathBuf {
        self.run.join("docker.sock")
    }

    fn state(&self) -> Option<State> {
        serde_json::from_slice(&std::fs::read(&self.state).ok()?).ok()
    }
}

/// The private engine's address, running or not.
pub(super) fn host(cache: &Cache) -> String {
    format!("unix://{}", layout(cache).socket().display())
}

/// What starting it changes on the host.
pub(super) fn change(cache: &Cache) -> String {
    let bridge = layout(cache).bridge;
    format!(
        "start a private Docker Engine: processes, the bridge {bridge}, Docker's iptables rules, and forwarding of packets; all of it \
         goes with `meshproof down`"
    )
}

/// Whether there are containers in it, running or not.
pub(super) fn holds_containers_of(cache: &Cache) -> bool {
    holds_containers(&layout(cache))
}

/// Whether its process runs, whether it answers or not.
pub(super) fn runs(cache: &Cache) -> bool {
    layout(cache).state().is_some_and(|state| state.process.is_alive())
}

/// The private engine, if it runs. One that has just been started, or has much to do, is waited for.
///
/// # Errors
/// It runs and does not answer.
pub(super) async fn find(cache: &Cache) -> Result<Option<Engine>, EngineError> {
    let until = Instant::now() + START_LIMIT;
    loop {
        let (process, reason) = match ask(cache).await {
            None => return Ok(None),
            Some((_, Ok(engine))) => return Ok(Some(engine)),
            Some((process, Err(reason))) => (process, reason),
        };
        if Instant::now() > until {
            let reason = format!("{reason}; it is process {}", process.pid);
            return Err(EngineError::Silent { host: host(cache), reason });
        }
        // Nothing announces to strangers that a socket is listened on; the end of the process ends this, too.
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// What the private engine answers, if its process runs.
async fn ask(cache: &Cache) -> Option<(ProcessId, Result<Engine, String>)> {
    let state = layout(cache).state().filter(|state| state.process.is_alive())?;
    let docker = on_path("docker")?;
    let host = host(cache);
    let version = server_version(&docker, Some(&host)).await;
    let engine = version.map(|version| Engine { docker, host, version, private: true, shim: state.shim });
    Some((state.process, engine))
}

/// Starts the private engine, after removing what a dead one left.
pub(super) async fn start(cache: &Cache, progress: &dyn Progress) -> Result<Engine, EngineError> {
    let installs = !host::missing(host::ENGINE).is_empty();
    host::ensure(cache, progress, host::ENGINE).await?;
    // Where an init system runs, installing an engine may have started it.
    if installs
        && !capability::lacks_sys_resource()
        && let Ok(engine) = users_engine().await
    {
        return Ok(engine);
    }
    let phase = "start a private Docker Engine";
    let _lock =
        cache.lock("engine", || progress.note(phase, "another meshproof is starting it; waiting")).await?;
    if let Some(engine) = find(cache).await? {
        return Ok(engine);
    }
    cache.timed(phase, progress, start_locked(cache)).await
}

async fn start_locked(cache: &Cache) -> Result<Engine, EngineError> {
    let layout = layout(cache);
    // One that is alive was found before, or refused.
    leftovers::remove(&layout, layout.state().map(|state| state.process)).await?;
    for dir in [&layout.data, &layout.run] {
        std::fs::create_dir_all(dir).map_err(io("create", dir))?;
    }
    remember(&layout).await?;
    make_bridge(&layout.bridge).await?;
    let shim = capability::lacks_sys_resource();
    if shim {
        std::fs::write(&layout.runtime, RUNTIME).map_err(io("write", &layout.runtime))?;
        std::fs::set_permissions(&layout.runtime, std::fs::Permissions::from_mode(0o755))
            .map_err(io("make executable", &layout.runtime))?;
    }
    let notify = layout.run.join("notify.sock");
    let ready = tokio::net::UnixDatagram::bind(&notify).map_err(io("listen on", &notify))?;
    let mut child = spawn(&layout, shim, &notify)?;
    let process = ProcessId::of(child.id()).ok_or_else(|| not_started(&layout, "it ended at once"))?;
    let state = serde_json::to_vec(&State { process, shim }).map_err(std::io::Error::from);
    state.and_then(|bytes| std::fs::write(&layout.state, bytes)).map_err(io("write", &layout.state))?;
    let engine = wait_ready(cache, &layout, &ready, &mut child).await;
    let _ = std::fs::remove_file(&notify);
    engine
}

const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

/// Remembers what to restore, unless an engine that was not stopped properly remembered it already.
async fn remember(layout: &Layout) -> Result<(), EngineError> {
    if layout.before.exists() {
        return Ok(());
    }
    let forwarding = std::fs::read_to_string(FORWARDING).is_ok_and(|value| value.trim() == "1");
    let rules = Tool::new("read the policy", "iptables").args(["-w", "-S", "FORWARD"]).run().await;
    let policy = rules.ok().and_then(|rules| policy(&rules));
    let all = Tool::new("read the chains", "iptables").args(["-w", "-S"]).run().await.unwrap_or_default();
    let chains = all.lines().any(|line| line == "-N DOCKER" || line == "-N DOCKER-USER");
    let text = serde_json::to_vec(&Before { forwarding, policy, chains }).map_err(std::io::Error::from);
    text.and_then(|text| std::fs::write(&layout.before, text)).map_err(io("write", &layout.before))
}

/// The chain's policy, as `iptables -S FORWARD` lists it.
fn policy(rules: &str) -> Option<String> {
    rules.lines().find_map(|line| line.strip_prefix("-P FORWARD ")).map(|policy| policy.trim().to_owned())
}

fn before(layout: &Layout) -> Option<Before> {
    serde_json::from_slice(&std::fs::read(&layout.before).ok()?).ok()
}

async fn restore(layout: &Layout) {
    if let Some(before) = before(layout).filter(|before| !before.forwarding)
        && !leftovers::another_engine_runs()
    {
        let policy = before.policy.as_deref().unwrap_or("ACCEPT");
        let policy = Tool::new("restore the policy", "iptables").args(["-w", "-P", "FORWARD", policy]);
        if let Err(error) = policy.run().await {
            tracing::debug!(%error, "policy not restored");
        }
        let _ = std::fs::write(FORWARDING, "0");
    }
    let _ = std::fs::remove_file(&layout.before);
}

fn spawn(layout: &Layout, shim: bool, notify: &Path) -> Result<Child, EngineError> {
    let log = std::fs::File::create(&layout.log).map_err(io("create", &layout.log))?;
    let errors = log.try_clone().map_err(io("open", &layout.log))?;
    // A session of its own: Ctrl-C at the terminal ends this program, not the engine.
    let mut command = Command::new("setsid");
    command
        .arg("dockerd")
        .arg(format!("--host=unix://{}", layout.socket().display()))
        .arg(format!("--data-root={}", layout.data.display()))
        .arg(format!("--exec-root={}", layout.run.join("exec").display()))
        .arg(format!("--pidfile={}", layout.run.join("docker.pid").display()))
        .arg(format!("--bridge={}", layout.bridge))
        .arg(format!("--cgroup-parent=/{}", layout.cgroup))
        .args(["--storage-driver=overlay2", "--live-restore=false", "--log-level=info"])
        .env("NOTIFY_SOCKET", notify)
        .env_remove("DOCKER_HOST")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors);
    if shim {
        command
            .arg(format!("--add-runtime={RUNTIME_NAME}={}", layout.runtime.display()))
            .arg(format!("--default-runtime={RUNTIME_NAME}"));
    }
    command.spawn().map_err(io("start dockerd, which logs to", &layout.log))
}

async fn wait_ready(
    cache: &Cache,
    layout: &Layout,
    ready: &tokio::net::UnixDatagram,
    child: &mut Child,
) -> Result<Engine, EngineError> {
    let until = Instant::now() + START_LIMIT;
    let mut message = [0_u8; 256];
    loop {
        // dockerd reports readiness here, and so does its containerd; an end of the process reports nothing.
        let _ = tokio::time::timeout(Duration::from_secs(1), ready.recv(&mut message)).await;
        if let Ok(Some(status)) = child.try_wait() {
            return Err(not_started(
                layout,
                &format!("dockerd ended with {status}; {}", last_error(&layout.log)),
            ));
        }
        // While it starts it need not answer.
        if let Some((_, Ok(engine))) = ask(cache).await {
            return Ok(engine);
        }
        if Instant::now() > until {
            return Err(not_started(layout, &format!("it did not answer within {START_LIMIT:?}")));
        }
    }
}

fn not_started(layout: &Layout, reason: &str) -> EngineError {
    EngineError::NotStarted { reason: reason.to_owned(), log: layout.log.clone() }
}

fn last_error(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().last().unwrap_or("its log is empty").to_owned()
}

/// Makes the engine's own bridge, so that `docker0` of another engine is never touched.
async fn make_bridge(name: &str) -> Result<(), EngineError> {
    let ip = |args: &[&str]| Tool::new("make the engine's bridge", "ip").args(args);
    if !Path::new("/sys/class/net").join(name).exists() {
        ip(&["link", "add", name, "type", "bridge"]).run().await?;
    }
    let address =
        format!("{}/16", free_subnet(&std::fs::read_to_string("/proc/net/route").unwrap_or_default()));
    if ip(&["-4", "-o", "addr", "show", "dev", name]).run().await?.trim().is_empty() {
        ip(&["addr", "add", &address, "dev", name]).run().await?;
    }
    ip(&["link", "set", name, "up"]).run().await?;
    Ok(())
}

/// The gateway of the first of Docker's usual subnets (172.17.0.0/16 on) that no route covers.
fn free_subnet(routes: &str) -> Ipv4Addr {
    let taken: Vec<(u32, u32)> = routes
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            let number = |at: usize| u32::from_str_radix(fields.get(at)?, 16).ok().map(u32::swap_bytes);
            Some((number(1)?, number(7)?))
        })
        .filter(|(_, mask)| *mask != 0)
        .collect();
    let free = |third: &u8| {
        let subnet = u32::from(Ipv4Addr::new(172, *third, 0, 0));
        let wide = 0xffff_0000;
        !taken.iter().any(|(net, mask)| (subnet & mask & wide) == (net & mask & wide))
    };
    Ipv4Addr::new(172, (17..32).find(free).unwrap_or(17), 0, 1)
}

/// Stops the engine; see [`Engine::stop_private`].
pub(super) async fn stop(cache: &Cache, progress: &dyn Progress) -> Result<bool, EngineError> {
    let layout = layout(cache);
    if !layout.run.exists()
        && !holds_containers(&layout)
        && !Path::new("/sys/class/net").join(&layout.bridge).exists()
    {
        return Ok(false);
    }
    let phase = "stop the private Docker Engine";
    let _lock = cache.lock("engine", || progress.note(phase, "another meshproof uses it; waiting")).await?;
    cache.timed(phase, progress, stop_locked(cache, &layout)).await?;
    Ok(true)
}

async fn stop_locked(cache: &Cache, layout: &Layout) -> Result<(), EngineError> {
    let mut running = match find(cache).await {
        // It is to go, whatever it says.
        Err(EngineError::Silent { .. }) => None,
        found => found?,
    };
    if running.is_none() && !runs(cache) && holds_containers(layout) {
        // Only an engine can take its containers, volumes and networks apart. If it cannot be started any
        // more, they stay as files in the cache.
        running = start_locked(cache).await.ok();
    }
    if let Some(engine) = running {
        empty(&engine).await;
    }
    if let Some(state) = layout.state().filter(|state| state.process.is_alive()) {
        signal(state.process.pid, "TERM").await;
        wait_gone(&state.process, STOP_LIMIT).await;
    }
    leftovers::remove(layout, layout.state().map(|state| state.process)).await?;
    // What is not known to be of this engine is another's.
    leftovers::remove_shared(layout, before(layout).is_none_or(|before| before.chains)).await;
    restore(layout).await;
    if layout.run.exists() {
        std::fs::remove_dir_all(&layout.run).map_err(io("remove", &layout.run))?;
    }
    let _ = std::fs::remove_file(&layout.state);
    Ok(())
}

/// Whether a dead engine left containers.
fn holds_containers(layout: &Layout) -> bool {
    std::fs::read_dir(layout.data.join("containers")).is_ok_and(|mut found| found.next().is_some())
}

/// Removes containers, their volumes and the networks; images stay, they are the cache.
async fn empty(engine: &Engine) {
    let list = |what: &'static str| {
        let engine = engine.clone();
        async move {
            let ids = match what {
                "container" => engine.tool("list containers").args(["container", "ls", "-aq"]),
                "volume" => engine.tool("list volumes").args(["volume", "ls", "-q"]),
                _ => engine.tool("list networks").args(["network", "ls", "-q", "--filter", "type=custom"]),
            };
            let ids = ids.limit(Duration::from_secs(20)).run().await.unwrap_or_default();
            ids.lines().map(str::to_owned).collect::<Vec<_>>()
        }
    };
    for (what, remove) in [
        ("container", &["rm", "-f", "-v"][..]),
        ("network", &["network", "rm"]),
        ("volume", &["volume", "rm"]),
    ] {
        let ids = list(what).await;
        if ids.is_empty() {
            continue;
        }
        let removal = engine.tool(format!("remove each {what}")).args(remove).args(ids);
        if let Err(error) = removal.limit(Duration::from_secs(60)).run().await {
            // What is left goes with the engine's processes and mounts below.
            tracing::debug!(%error, "not removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n";

    #[test]
    fn the_first_subnet_no_route_covers_is_taken() {
        let default = "eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n";
        assert_eq!(free_subnet(&format!("{HEADER}{default}")), Ipv4Addr::new(172, 17, 0, 1));
        let docker0 = "docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
        assert_eq!(free_subnet(&format!("{HEADER}{default}{docker0}")), Ipv4Addr::new(172, 18, 0, 1));
        let wide = "tun0\t000010AC\t00000000\t0001\t0\t0\t0\t0000F0FF\t0\t0\t0\n";
        assert_eq!(free_subnet(&format!("{HEADER}{wide}")), Ipv4Addr::new(172, 17, 0, 1), "none is free");
        let narrow = "eth1\t050011AC\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        assert_eq!(free_subnet(&format!("{HEADER}{narrow}")), Ipv4Addr::new(172, 18, 0, 1));
    }

    #[test]
    fn names_fit_their_limits() {
        let dir = tempfile::tempdir().unwrap();
        let layout = layout(&Cache::open(dir.path()).unwrap());
        // IFNAMSIZ and sockaddr_un.
        assert!(layout.bridge.len() < 16);
        assert!(layout.socket().as_os_str().len() < 108);
    }
}
