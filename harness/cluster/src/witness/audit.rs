//! Reads the API server's audit log, by way of the API server: the kubelet of the node it runs on hands out what lies below
//! `/var/log`. So a cluster of somebody else's can be looked at as well, if its log lies there.
//!
//! Only the end of the log is read, as much as the time asked for takes, and older files of it where that is not enough.

mod place;
mod text;

use std::collections::BTreeSet;
use std::time::Duration;

use http::header::{CONTENT_RANGE, DATE, RANGE};
use http::{HeaderMap, Request, StatusCode};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::client::Body;
use kube::{Client, ResourceExt};

use self::place::Place;
use self::text::Piece;
use super::Chain;
use meshproof_run::audit::{AuditLog, Audited};
use meshproof_run::ports::PortError;

/// How much of the end of a file is read, and then again if that was not enough. Never more: what is further back is as good as
/// gone.
const PIECES: [u64; 4] = [1 << 20, 1 << 22, 1 << 24, 1 << 26];
/// For one piece.
const LIMIT: Duration = Duration::from_secs(30);
/// So many files that were full are looked into, the newest first.
const FILES: usize = 4;
/// Clocks that differ by less are taken for one: the kubelet tells whole seconds.
const SAME: SignedDuration = SignedDuration::from_secs(2);

const DOING: &str = "reading the API server's audit log";

/// Why nothing can be read.
enum Unread {
    /// There is nothing to read: on a cluster of ours an error.
    NotKept(String),
    /// It could not be asked.
    Trouble(PortError),
}

/// What the log has of the last `since`; `own` says that the cluster is one of ours, which keeps one.
pub(super) async fn read(client: &Client, own: bool, since: Duration) -> Result<Audited, PortError> {
    match look(client, own, since).await {
        Ok(log) => Ok(Audited::Log(log)),
        Err(Unread::NotKept(why)) if own => Err(PortError::new(DOING, why).next(
            "meshproof's clusters keep one: `meshproof down` and `meshproof up` make the cluster again; if that does not help, see \
             what kube-apiserver says",
        )),
        Err(Unread::NotKept(why)) => Ok(Audited::NotKept(why)),
        Err(Unread::Trouble(error)) => Err(error),
    }
}

async fn look(client: &Client, own: bool, since: Duration) -> Result<AuditLog, Unread> {
    let place = find(client).await?;
    let begun = Timestamp::now();
    let mut newest = tail(client, &place, &place.file, earlier(begun, since)).await?;
    let now = clock(Timestamp::now(), newest.date);
    let wanted = earlier(now, since);
    if !newest.piece.is_whole && newest.piece.begins_after(wanted) {
        // By the clock here it was enough.
        newest = tail(client, &place, &place.file, wanted).await?;
    }
    let mut pieces = vec![newest.piece];
    let mut older = Vec::new();
    if pieces.iter().all(|piece| piece.is_whole && piece.begins_after(wanted)) {
        older = place.older(&listing(client, &place).await?);
    }
    let gone = older.len() > FILES;
    for file in older.iter().take(FILES) {
        let piece = tail(client, &place, file, wanted).await?.piece;
        let enough = !piece.is_whole || !piece.begins_after(wanted);
        pieces.push(piece);
        if enough {
            break;
        }
    }
    let first = pieces.iter().rev().find_map(Piece::first);
    // A file that is whole, and has none before it, begins with the API server. Of another's nobody knows since when it is kept so.
    let everything = own && older.is_empty() && !gone && pieces.iter().all(|piece| piece.is_whole);
    let mut seen = BTreeSet::new();
    let mut writes = Vec::new();
    for piece in pieces.iter().rev() {
        for line in piece.lines() {
            // A file may have become an old one while both were read.
            if !seen.insert(text::key(line)) {
                continue;
            }
            let write = meshproof_run::audit::entry::write(line).map_err(|error| {
                Unread::NotKept(format!("{} is no audit log in JSON: {error}", place.path()))
            })?;
            writes.extend(write);
        }
    }
    Ok(AuditLog { now, from: if everything { None } else { first.or(Some(now)) }, own, writes })
}

/// Where the log is, by what the API server was told.
async fn find(client: &Client) -> Result<Place, Unread> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), "kube-system");
    let servers = pods.list(&ListParams::default().labels("component=kube-apiserver")).await;
    let servers = match servers {
        Ok(servers) => servers.items,
        Err(kube::Error::Api(status)) if status.code == 403 => {
            return Err(Unread::NotKept("the pods of the API server may not be looked at".to_owned()));
        }
        Err(error) => return Err(trouble(&error)),
    };
    place::of(&servers.into_iter().map(server).collect::<Vec<_>>()).map_err(Unread::NotKept)
}

/// What matters of an API server's pod.
fn server(pod: Pod) -> place::Server {
    let name = pod.name_any();
    let spec = pod.spec.unwrap_or_default();
    let container = spec.containers.into_iter().find(|container| container.name == "kube-apiserver");
    let container = container.unwrap_or_default();
    let arguments = container.command.into_iter().chain(container.args).flatten().collect();
    let host = |volume: &str| {
        let found = spec.volumes.iter().flatten().find(|known| known.name == volume)?;
        Some(found.host_path.as_ref()?.path.clone())
    };
    let mounts = container.volume_mounts.into_iter().flatten();
    let mounts = mounts.filter_map(|mount| Some((mount.mount_path, host(&mount.name)?))).collect();
    place::Server { name, node: spec.node_name.unwrap_or_default(), arguments, mounts }
}

/// The end of a file.
struct Tail {
    piece: Piece,
    /// The time by the kubelet's clock, which is that of the API server beside it.
    date: Option<Timestamp>,
}

/// Reads a file backwards until a time is reached, or its beginning, or there is more than is worth reading.
async fn tail(client: &Client, place: &Place, file: &str, wanted: Timestamp) -> Result<Tail, Unread> {
    let mut tail = Tail { piece: Piece::default(), date: None };
    for size in PIECES {
        let (status, headers, body) = get(client, &place.uri(file), Some(size)).await?;
        tail.date = headers.get(DATE).and_then(|date| text::date(date.to_str().ok()?));
        let range = headers.get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
        tail.piece = match status {
            // Nothing has been written yet.
            StatusCode::RANGE_NOT_SATISFIABLE => Piece::default(),
            StatusCode::PARTIAL_CONTENT => {
                Piece::of(&body, range.is_some_and(|range| range.starts_with("bytes 0-")))
            }
            _ => Piece::of(&body, true),
        };
        if tail.piece.is_whole || !tail.piece.begins_after(wanted) {
            break;
        }
    }
    Ok(tail)
}

/// The page that lists the files beside the log.
async fn listing(client: &Client, place: &Place) -> Result<String, Unread> {
    get(client, &place.uri(""), None).await.map(|(_, _, body)| body)
}

/// The end of a file, or all of it.
async fn get(
    client: &Client,
    uri: &str,
    last: Option<u64>,
) -> Result<(StatusCode, HeaderMap, String), Unread> {
    let mut request = Request::get(uri);
    if let Some(last) = last {
        request = request.header(RANGE, format!("bytes=-{last}"));
    }
    let request = request.body(Body::empty()).map_err(|error| trouble(&error))?;
    let answer = async {
        let answer = client.send(request).await?;
        let (parts, body) = answer.into_parts();
        Ok::<_, kube::Error>((parts, body.collect_bytes().await?))
    };
    let answer = tokio::time::timeout(LIMIT, answer).await;
    let answer = answer.map_err(|_| {
        Unread::Trouble(PortError::new(DOING, format!("no answer within {} s", LIMIT.as_secs())))
    })?;
    let (parts, body) = answer.map_err(|error| trouble(&error))?;
    let body = String::from_utf8_lossy(&body).into_owned();
    match parts.status {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
            Ok((parts.status, parts.headers, body))
        }
        // Not there, not permitted, or a kubelet that hands out no logs.
        status if status.is_client_error() => {
            Err(Unread::NotKept(format!("the kubelet does not hand out {uri}: {status}")))
        }
        status => Err(Unread::Trouble(PortError::new(DOING, format!("{uri}: {status}: {}", body.trim())))),
    }
}

fn trouble(error: &(dyn std::error::Error + 'static)) -> Unread {
    Unread::Trouble(PortError::new(DOING, Chain(error)))
}

fn earlier(now: Timestamp, passed: Duration) -> Timestamp {
    let passed = SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX);
    now.checked_sub(passed).unwrap_or(Timestamp::MIN)
}

/// The time by the API server's clock: ours, unless that differs.
fn clock(here: Timestamp, there: Option<Timestamp>) -> Timestamp {
    there.filter(|there| here.duration_since(*there).abs() > SAME).unwrap_or(here)
}

#[cfg(test)]
mod tests;
