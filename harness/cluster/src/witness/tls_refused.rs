//! `tls-without-istio-alpn-refused`: a 503 is what comes of TLS that nobody on the backend's side understood, and not an
//! answer that the gateway gave without asking, or beside a request in clear text (R45).
//!
//! The gateway's word is not asked for. The backend's side tells: the program behind the sidecar writes down what every
//! connection begins with, and the sidecar's access log whose it was. Within the time in which the claim held, there has to
//! be, for each answer, a connection of one of the gateway's proxies that began with TLS and offered none of Istio's
//! application protocols; and not one byte of clear text may have come to the program. The requests of a claim are sent one
//! after the other, each answered before the next, so that attempts of one cannot stand for another's. TLS that the sidecar
//! turned away itself (on a port named after HTTP it has no place for it) counts like TLS that came as far as the program.
//!
//! Then a control, a client outside the mesh, asks the program in clear text, straight at the pod. Its request has to turn
//! up in the program's log: everything before it is then there, clear text would have come through, and the time that the
//! program gave it tells how far its clock is from the one here.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::Client;
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::program::{self, BeginsWith, Connection, Line, Written};
use super::{BackendPod, LOG_DELAY, backend, nothing_to_see, sidecar, testimony};
use crate::mesh::{LogForm, SidecarEntry};
use crate::probe::Prober;
use meshproof_model::event::Testimony;
use meshproof_model::implementation::Proxies;
use meshproof_model::vantage::Vantage;
use meshproof_run::ports::{PortError, WitnessContext};
use meshproof_run::probe::Ask;

pub(super) const NAME: &str = "tls-without-istio-alpn-refused";

/// From one look at the logs to the next, while the control is missing in them.
const LOOK: Duration = Duration::from_millis(250);

/// A sidecar accepts a connection, looks at its first bytes, and only then opens its own to the program.
const LOOKED_INTO: u64 = 500;

/// What is known of a pod behind the Service.
#[derive(Debug, Default)]
struct Seen {
    pod: String,
    /// What its programs wrote.
    programs: Vec<Written>,
    sidecar: Sidecar,
    /// The control, as it was sent and as it turned up.
    control: Control,
}

/// What a pod's sidecar tells.
#[derive(Debug, Default)]
enum Sidecar {
    /// There is none: the program sees the addresses of its clients itself.
    #[default]
    None,
    /// It keeps no access log that can be read.
    Silent,
    Wrote(Vec<SidecarEntry>),
}

#[derive(Debug, Default)]
struct Control {
    path: String,
    /// When it was sent and answered, by the clock here.
    sent_ms: i64,
    answered_ms: i64,
    /// Whether it was answered 200.
    good: bool,
    summary: String,
}

/// The time in which the claim held, in milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
struct Window {
    from: i64,
    to: i64,
}

pub(super) async fn hear(
    client: &Client,
    prober: &Prober,
    proxies: &Proxies,
    form: &LogForm,
    context: &WitnessContext,
) -> Result<Testimony, PortError> {
    let Some((from, to)) = context.window else {
        return Ok(nothing_to_see(NAME, "it is not known when the claim held"));
    };
    let window = Window { from: from.as_millisecond(), to: to.as_millisecond() };
    let addresses = backend::proxies(client, proxies, context).await?;
    let pods = backend::pods(client, context.namespace_of_backend(), &context.backend).await?;
    let mut seen = Vec::new();
    for pod in &pods {
        seen.push(look(client, prober, form, pod).await?);
    }
    let answers: Vec<_> = context.answers.iter().map(|answer| answer.status).collect();
    Ok(judge(&seen, window, &answers, &addresses))
}

/// Sends the control to a pod and reads its logs until they have it, or long enough.
async fn look(client: &Client, prober: &Prober, form: &LogForm, pod: &BackendPod) -> Result<Seen, PortError> {
    let path = format!("/{}", uuid::Uuid::new_v4());
    let sent_ms = Timestamp::now().as_millisecond();
    let answer = prober.send(Vantage::Plain, &Ask::straight(pod.address, &path)).await?;
    let control = Control {
        path,
        sent_ms,
        answered_ms: Timestamp::now().as_millisecond(),
        good: answer.complete() == Some(200),
        summary: answer.summary(),
    };
    let deadline = Instant::now() + LOG_DELAY;
    let mut pace = interval(LOOK);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        let programs = program::written(client, pod).await?;
        // What tells only half of it would speak against a gateway that did nothing wrong.
        let tells = form.tells_clients() && form.tells_refusals() && form.has("START_TIME");
        let keeps = pod.sidecar && tells;
        let entries = if keeps { sidecar::entries(client, pod, form).await? } else { Vec::new() };
        let there = programs.iter().any(|written| written.lines.iter().any(|line| control.is(line)));
        let there = there && (!keeps || entries.iter().any(|entry| control.told_by(entry)));
        if there || !control.good || Instant::now() >= deadline {
            let sidecar = match (pod.sidecar, entries.is_empty()) {
                (false, _) => Sidecar::None,
                (true, true) => Sidecar::Silent,
                (true, false) => Sidecar::Wrote(entries),
            };
            return Ok(Seen { pod: pod.name.clone(), programs, sidecar, control });
        }
    }
}

impl Control {
    fn is(&self, line: &Line) -> bool {
        line.path.as_deref() == Some(self.path.as_str())
    }

    fn told_by(&self, entry: &SidecarEntry) -> bool {
        entry.path.as_deref() == Some(self.path.as_str())
    }

    /// What to add to a time here to have it by the program's clock: nothing where the two agree as far as can be told.
    fn clock(&self, written: &Written) -> Option<i64> {
        let line = written.lines.iter().find(|line| self.is(line))?;
        let at = i64::try_from(line.time_ms).ok()?;
        let agree = (self.sent_ms..=self.answered_ms).contains(&at);
        Some(if agree { 0 } else { at - i64::midpoint(self.sent_ms, self.answered_ms) })
    }
}

/// What came to a program within the window.
#[derive(Debug, Default)]
struct Came<'a> {
    /// Connections that began with TLS and offered none of Istio's protocols, with when.
    attempts: Vec<(&'a Connection, u64)>,
    with_istio_alpn: usize,
    unreadable: usize,
    clear_text: Option<&'a Line>,
}

fn came<'a>(written: &'a Written, window: Window, control: &Control) -> Came<'a> {
    let mut came = Came::default();
    let within =
        |line: &&Line| i64::try_from(line.time_ms).is_ok_and(|at| (window.from..=window.to).contains(&at));
    for line in written.lines.iter().filter(within).filter(|line| !control.is(line)) {
        match &line.connection {
            Some(connection) if connection.begins_with == BeginsWith::Tls => match &connection.alpn {
                None => came.unreadable += 1,
                Some(_) if connection.offers_istio() => came.with_istio_alpn += 1,
                Some(_) => came.attempts.push((connection, line.time_ms)),
            },
            Some(connection) if connection.begins_with == BeginsWith::ClearText => {
                came.clear_text.get_or_insert(line);
            }
            Some(_) => {}
            None if line.path.is_some() => {
                came.clear_text.get_or_insert(line);
            }
            None => {}
        }
    }
    came
}

/// Whether a line of the sidecar is about the connection that the program saw.
fn same(entry: &SidecarEntry, connection: &Connection, at_ms: u64) -> bool {
    match &entry.upstream_local_address {
        Some(address) => address.parse::<SocketAddr>().is_ok_and(|address| address == connection.peer),
        // A log that does not tell has the times.
        None => entry.began_ms().is_some_and(|began| began <= at_ms && at_ms - began <= LOOKED_INTO),
    }
}

fn judge(seen: &[Seen], window: Window, answers: &[Option<u16>], proxies: &BTreeSet<IpAddr>) -> Testimony {
    let nothing = |why: String| nothing_to_see(NAME, why);
    if answers.is_empty() || answers.iter().any(|status| *status != Some(503)) {
        return nothing("there is no row of answers 503 that could be looked into".into());
    }
    if seen.iter().all(|seen| seen.programs.is_empty()) {
        return nothing("there is no pod behind the Service whose program tells what came to it".into());
    }
    let (mut attempts, mut turned_away, mut others, mut untold, mut silent) = (0, 0, 0, 0, false);
    for Seen { pod, programs, sidecar, control } in seen {
        let workload = meshproof_run::probe::deployment_of(pod).unwrap_or(pod);
        if !control.good {
            return nothing(format!(
                "a clear-text client outside the mesh, straight at {workload}, got {}: clear text of the gateway would \
                 not have come through either",
                control.summary
            ));
        }
        let Some((written, clock)) = programs.iter().find_map(|p| Some((p, control.clock(p)?))) else {
            return nothing(format!(
                "the control's request is missing in what the program of {workload} wrote"
            ));
        };
        let window = Window { from: window.from + clock, to: window.to + clock };
        if !written.reaches_back_to(u64::try_from(window.from).unwrap_or_default()) {
            return nothing(format!("what the program of {workload} wrote does not reach back to the claim"));
        }
        let came = came(written, window, control);
        let detail = json!({"attempts": came.attempts.len(), "unreadable": came.unreadable});
        if let Some(line) = came.clear_text {
            let what = match &line.path {
                Some(path) => format!("the request {path} came to the program of {workload} in clear text"),
                None => format!("a connection in clear text came to the program of {workload}"),
            };
            return testimony(
                NAME,
                false,
                format!("{what} while the gateway answered 503"),
                json!(line.peer),
            );
        }
        if came.with_istio_alpn > 0 {
            let summary =
                format!("TLS with an Istio ALPN came as far as the program of {workload}: wanted none");
            return testimony(NAME, false, summary, detail);
        }
        match sidecar {
            Sidecar::None => {
                let own =
                    came.attempts.iter().filter(|(connection, _)| proxies.contains(&connection.peer.ip()));
                let own = own.count();
                (attempts, others) = (attempts + own, others + came.attempts.len() - own);
            }
            Sidecar::Silent => (silent, untold) = (true, untold + came.attempts.len()),
            Sidecar::Wrote(entries) => {
                let of_gateway =
                    |entry: &SidecarEntry| entry.client().is_some_and(|ip| proxies.contains(&ip));
                for (connection, at) in &came.attempts {
                    let about: Vec<_> = entries.iter().filter(|entry| same(entry, connection, *at)).collect();
                    match (about.is_empty(), about.into_iter().any(of_gateway)) {
                        (_, true) => attempts += 1,
                        (false, false) => others += 1,
                        (true, false) => untold += 1,
                    }
                }
                let within = |entry: &SidecarEntry| {
                    let began = entry.began_ms().and_then(|at| i64::try_from(at).ok());
                    began.is_some_and(|at| (window.from..=window.to).contains(&at))
                };
                let refused =
                    entries.iter().filter(|entry| of_gateway(entry) && entry.turned_away() && within(entry));
                turned_away += refused.count();
            }
        }
    }
    let wanted = answers.len();
    let detail = json!({
        "answers": wanted, "came_to_the_program": attempts, "turned_away_by_the_sidecar": turned_away,
        "of_others": others, "of_nobody_knows_whom": untold,
        "window": [moment(window.from), moment(window.to)],
    });
    // A sidecar that keeps no log leaves open whose they were; one that does and does not tell of them speaks against it.
    let found = attempts + turned_away + if silent { untold } else { 0 };
    if found == 0 {
        let summary = "the gateway answered 503 without trying: no connection with TLS came to the backend's side while it did";
        return testimony(NAME, false, summary, detail);
    }
    if found < wanted {
        let summary = format!(
            "the gateway answered 503 {wanted} times and tried TLS {found} times only: the others are its own invention"
        );
        return testimony(NAME, false, summary, detail);
    }
    let whose = if silent { " (whose they were nobody tells: the sidecar keeps no access log)" } else { "" };
    let by = match (attempts + untold, turned_away) {
        (_, 0) => "came as far as the plain program behind the sidecar",
        (0, _) => "was turned away by the sidecar",
        _ => "was turned away, by the sidecar or the plain program behind it",
    };
    let summary = format!(
        "for every 503 the gateway opened a connection with TLS and no Istio ALPN, which {by}{whose}; not one byte of \
         clear text came to the program"
    );
    testimony(NAME, true, summary, detail)
}

fn moment(ms: i64) -> String {
    let at = Timestamp::UNIX_EPOCH.checked_add(SignedDuration::from_millis(ms));
    at.map(|at| at.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
