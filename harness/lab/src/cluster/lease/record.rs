//! What the Lease says, and what follows from it. Pure but for what the kernel says of processes.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};

use super::{NAME, NAMESPACE};

/// A Lease that was not renewed for so long has run out.
pub(super) const DURATION: Duration = Duration::from_secs(60);
/// Clocks that differ by more than this do not count.
const SKEW: Duration = Duration::from_secs(5);
/// Annotation that says which process of which machine it is.
const PROCESS: &str = "dev.meshproof/process";

/// Who holds the Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    host: String,
    run: String,
    process: Process,
}

/// A process among all of all machines: an id is used again, in another boot, another container, or later.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Process {
    /// Which boot of which machine, and which of its process id namespaces.
    pub(super) realm: String,
    pub(super) pid: u32,
    /// When it began, in ticks since the boot.
    pub(super) begun: String,
}

impl Holder {
    /// This process, for a run.
    pub(crate) fn this(run: &str) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        let pid = std::process::id();
        let process = Process {
            realm: format!("{} {}", read("/proc/sys/kernel/random/boot_id"), namespace.display()),
            pid,
            begun: begun(pid).unwrap_or_default(),
        };
        Self { host: read("/proc/sys/kernel/hostname"), run: run.to_owned(), process }
    }

    fn identity(&self) -> String {
        format!("{}/{}/{}", self.host, self.process.pid, self.run)
    }
}

impl Process {
    fn text(&self) -> String {
        format!("{} {} {}", self.realm, self.pid, self.begun)
    }
}

/// When a process began; nothing if there is none, or it has ended and nobody has taken note.
fn begun(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, parentheses included.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split_whitespace().collect();
    let state = *fields.first()?;
    (state != "Z" && state != "X").then(|| fields.get(19).map(|ticks| (*ticks).to_owned()))?
}

/// Whether a process of this machine still is.
pub(super) fn is_alive(process: &Process) -> bool {
    begun(process.pid).is_some_and(|ticks| ticks == process.begun)
}

/// What a Lease that is there means for whoever wants it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It is free.
    Take,
    /// Somebody works with the cluster.
    Refuse(String),
    /// It has run out by our clock; it is free if it is not renewed for this long.
    Watch(Duration),
}

/// What to do about `lease`.
pub(super) fn next(
    lease: &Lease,
    me: &Holder,
    now: jiff::Timestamp,
    is_alive: impl Fn(&Process) -> bool,
) -> Next {
    let Some(identity) = holder(lease) else { return Next::Take };
    let process = process(lease);
    if process.as_ref() == Some(&me.process) {
        return Next::Take;
    }
    let [host, pid, run] = parts(identity);
    let who = format!("run {run} (process {pid} on {host})");
    // What this machine's kernel knows needs no clock.
    if let Some(process) = process.filter(|process| process.realm == me.process.realm) {
        return match is_alive(&process) {
            true => Next::Refuse(format!("{who} works with this cluster; wait until it has ended")),
            false => Next::Take,
        };
    }
    let spec = lease.spec.as_ref();
    let seconds = spec.and_then(|spec| spec.lease_duration_seconds);
    let duration =
        seconds.and_then(|seconds| u64::try_from(seconds).ok()).map_or(DURATION, Duration::from_secs);
    let Some(renewed) = spec.and_then(|spec| spec.renew_time.as_ref()).map(|time| time.0) else {
        return Next::Watch(duration);
    };
    let age = now.duration_since(renewed);
    if age < -jiff::SignedDuration::try_from(SKEW).unwrap_or_default() {
        // Its clock is ahead of ours: how old it is cannot be told.
        return Next::Watch(duration);
    }
    if age <= jiff::SignedDuration::try_from(duration).unwrap_or_default() {
        let seconds = age.as_secs().max(0);
        return Next::Refuse(format!(
            "{who} works with this cluster, and said so {seconds} s ago; wait until it has ended (if it was killed, its \
             Lease {NAME} in {NAMESPACE} runs out {} s after it was last renewed)",
            duration.as_secs()
        ));
    }
    Next::Watch(Duration::ZERO)
}

fn parts(identity: &str) -> [&str; 3] {
    let mut parts = identity.splitn(3, '/');
    std::array::from_fn(|_| parts.next().unwrap_or("?"))
}

/// Who holds the Lease; an empty name is nobody.
fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

fn process(lease: &Lease) -> Option<Process> {
    let text = lease.metadata.annotations.as_ref()?.get(PROCESS)?;
    let (rest, begun) = text.rsplit_once(' ')?;
    let (realm, pid) = rest.rsplit_once(' ')?;
    Some(Process { realm: realm.to_owned(), pid: pid.parse().ok()?, begun: begun.to_owned() })
}

pub(super) fn is_held_by(lease: &Lease, me: &Holder) -> bool {
    holder(lease) == Some(me.identity().as_str())
}

/// The Lease to write in order to take or keep it: on what was read, whose resourceVersion makes the write conditional.
pub(super) fn claim(current: Option<&Lease>, me: &Holder) -> Lease {
    let now = MicroTime(jiff::Timestamp::now());
    let kept = current.filter(|lease| is_held_by(lease, me)).and_then(|lease| lease.spec.as_ref());
    let acquired = kept.and_then(|spec| spec.acquire_time.clone()).unwrap_or_else(|| now.clone());
    let before = current.and_then(|lease| lease.spec.as_ref());
    let transitions = before.and_then(|spec| spec.lease_transitions).unwrap_or_default();
    let spec = LeaseSpec {
        holder_identity: Some(me.identity()),
        lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
        acquire_time: Some(acquired),
        renew_time: Some(now),
        lease_transitions: Some(transitions + i32::from(before.is_some() && kept.is_none())),
        ..LeaseSpec::default()
    };
    let mut metadata = current.map(|lease| lease.metadata.clone()).unwrap_or_else(|| ObjectMeta {
        name: Some(NAME.to_owned()),
        namespace: Some(NAMESPACE.to_owned()),
        ..ObjectMeta::default()
    });
    metadata.annotations.get_or_insert_with(BTreeMap::new).insert(PROCESS.to_owned(), me.process.text());
    metadata.managed_fields = None;
    Lease { metadata, spec: Some(spec) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other(realm: &str, pid: u32) -> Holder {
        let process = Process { realm: realm.into(), pid, begun: "7".into() };
        Holder { host: "far".into(), run: "r-1".into(), process }
    }

    fn after(lease: &Lease, seconds: i64) -> jiff::Timestamp {
        let renewed = lease.spec.as_ref().unwrap().renew_time.as_ref().unwrap().0;
        renewed + jiff::SignedDuration::from_secs(seconds)
    }

    #[test]
    fn a_living_run_elsewhere_is_named_and_respected_until_its_lease_runs_out() {
        let (me, lease) = (Holder::this("r-2"), claim(None, &other("elsewhere", 4)));
        let Next::Refuse(why) = next(&lease, &me, after(&lease, 30), |_| false) else { panic!() };
        assert!(why.contains("run r-1 (process 4 on far)") && why.contains("30 s ago"), "{why}");
        assert_eq!(next(&lease, &me, after(&lease, 61), |_| false), Next::Watch(Duration::ZERO));
        assert_eq!(
            next(&lease, &me, after(&lease, -60), |_| false),
            Next::Watch(DURATION),
            "its clock is ahead"
        );
    }

    #[test]
    fn of_a_process_here_the_kernel_knows_whether_it_is() {
        let me = Holder::this("r-2");
        let lease = claim(None, &other(&me.process.realm, 4));
        assert_eq!(next(&lease, &me, after(&lease, 1), |_| false), Next::Take, "killed a second ago");
        assert!(
            matches!(next(&lease, &me, after(&lease, 900), |_| true), Next::Refuse(_)),
            "stopped, and living"
        );
    }

    #[test]
    fn this_process_is_alive_and_one_of_another_time_is_not() {
        let me = Holder::this("r").process;
        assert!(is_alive(&me));
        assert!(!is_alive(&Process { begun: "1".into(), ..me.clone() }));
        assert_eq!(process(&claim(None, &Holder::this("r"))), Some(me));
    }

    #[test]
    fn nobody_and_oneself_stand_in_nobodys_way() {
        let me = Holder::this("r-2");
        let mut free = claim(None, &other("elsewhere", 4));
        free.spec.as_mut().unwrap().holder_identity = Some(String::new());
        assert_eq!(next(&free, &me, after(&free, 0), |_| true), Next::Take);
        let own = claim(None, &Holder::this("r-1"));
        assert_eq!(next(&own, &me, after(&own, 0), |_| true), Next::Take);
    }

    #[test]
    fn what_is_written_is_conditional_and_counts_changes_of_the_holder() {
        let mut lease = claim(None, &other("elsewhere", 4));
        lease.metadata.resource_version = Some("17".into());
        let me = Holder::this("r-2");
        let taken = claim(Some(&lease), &me);
        assert_eq!(taken.metadata.resource_version.as_deref(), Some("17"));
        assert_eq!(taken.spec.as_ref().unwrap().lease_transitions, Some(1));
        assert!(is_held_by(&taken, &me) && !is_held_by(&lease, &me));
        let kept = claim(Some(&taken), &me).spec.unwrap();
        assert_eq!(kept.lease_transitions, Some(1));
        assert_eq!(kept.acquire_time, taken.spec.unwrap().acquire_time);
    }
}
