//! Who is connected and what they hold: how the controller decides Programmed.

use crate::Snapshot;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// All connected proxies, by load balancer. A new value is published at every change; cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acks {
    load_balancers: Arc<BTreeMap<String, BTreeMap<u64, ProxyState>>>,
}

/// One connected proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyState {
    /// Pod name.
    pub node: String,
    /// What it says that it can do.
    pub capabilities: BTreeSet<String>,
    /// The snapshot it holds, but for what it refused, as known from this connection; none while the first answer is
    /// outstanding.
    pub acknowledged: Option<Snapshot>,
    /// Resources it refused, by name, as long as the refused version is wanted.
    pub refused: BTreeMap<String, Rejection>,
    /// A snapshot it refused as a whole (the NACK named no resource).
    pub refused_snapshot: Option<(Snapshot, String)>,
}

/// A refused resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Version that was refused.
    pub version: String,
    /// The proxy's explanation.
    pub message: String,
}

/// How far one version of one resource has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResourceState {
    /// No proxy of the load balancer is connected.
    NoProxy,
    /// Some connected proxies have not answered yet.
    Pending {
        /// Proxies that hold it.
        acknowledged: usize,
        /// Proxies that are connected.
        connected: usize,
    },
    /// Every connected proxy holds it, and there is one. A proxy that has not answered since it connected does not count
    /// beside others: it is not Ready, or says again what it held before.
    Programmed,
    /// At least one proxy refused it.
    Rejected {
        /// The proxy's explanation.
        message: String,
    },
}

/// What is different between two moments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AckChanges {
    /// Load balancers whose proxies have said anything: what was Pending there may be so no longer.
    pub load_balancers: BTreeSet<String>,
    /// Load balancers with other proxies than before: everything there is to be looked at again.
    pub everything: BTreeSet<String>,
    /// Resources that are, or were, refused.
    pub refused: BTreeSet<String>,
}

impl Acks {
    /// Connected proxies of a load balancer, in the order in which they connected.
    pub fn proxies(&self, load_balancer: &str) -> impl Iterator<Item = &ProxyState> {
        self.load_balancers.get(load_balancer).into_iter().flat_map(BTreeMap::values)
    }

    /// Load balancers with at least one connected proxy.
    pub fn load_balancers(&self) -> impl Iterator<Item = &str> {
        self.load_balancers.keys().map(String::as_str)
    }

    /// State of `version` of the resource `name` over all connected proxies of a load balancer.
    pub fn resource(&self, load_balancer: &str, name: &str, version: &str) -> ResourceState {
        self.count(load_balancer, |proxy| proxy.holds(name, version))
    }

    /// State of a whole snapshot: every resource of it is held by every connected proxy. This is also the way to
    /// ask whether a removal has arrived.
    pub fn snapshot(&self, load_balancer: &str, snapshot: &Snapshot) -> ResourceState {
        self.count(load_balancer, |proxy| proxy.holds_snapshot(snapshot))
    }

    /// Whether every proxy of a load balancer that counts has a capability.
    pub fn can(&self, load_balancer: &str, capability: &str) -> bool {
        let mut counted = self.proxies(load_balancer).filter(|proxy| !proxy.is_joining());
        counted.all(|proxy| proxy.capabilities.contains(capability))
    }

    /// What has changed since another moment: what must be looked at again is named here, or has been Pending.
    pub fn since(&self, before: &Self) -> AckChanges {
        let mut changes = AckChanges::default();
        let all: BTreeSet<&String> = self.load_balancers.keys().chain(before.load_balancers.keys()).collect();
        let none = BTreeMap::new();
        for load_balancer in all {
            let of = |acks: &Self| acks.load_balancers.get(load_balancer).unwrap_or(&none).clone();
            let (now, before) = (of(self), of(before));
            if now == before {
                continue;
            }
            changes.load_balancers.insert(load_balancer.clone());
            let counted = |proxies: &BTreeMap<u64, ProxyState>| -> Vec<_> {
                let all = proxies.iter().filter(|(_, proxy)| !proxy.is_joining());
                all.map(|(stream, proxy)| (*stream, proxy.refused_snapshot.clone())).collect()
            };
            let joining = |proxies: &BTreeMap<u64, ProxyState>| proxies.values().any(ProxyState::is_joining);
            if counted(&now) != counted(&before)
                || (joining(&now) != joining(&before) && counted(&now).is_empty())
            {
                changes.everything.insert(load_balancer.clone());
            }
            let refused = |proxies: &BTreeMap<u64, ProxyState>| -> BTreeSet<String> {
                proxies.values().flat_map(|proxy| proxy.refused.keys().cloned()).collect()
            };
            changes.refused.extend(refused(&now).into_iter().chain(refused(&before)));
        }
        changes
    }

    fn count(
        &self,
        load_balancer: &str,
        holds: impl Fn(&ProxyState) -> Result<bool, String>,
    ) -> ResourceState {
        let (mut connected, mut counted, mut acknowledged) = (0, 0, 0);
        for proxy in self.proxies(load_balancer) {
            connected += 1;
            counted += usize::from(!proxy.is_joining());
            match holds(proxy) {
                Ok(true) => acknowledged += 1,
                Ok(false) => {}
                Err(message) => return ResourceState::Rejected { message },
            }
        }
        match (connected, counted, acknowledged) {
            (0, ..) => ResourceState::NoProxy,
            (_, counted, acknowledged) if counted > 0 && counted == acknowledged => ResourceState::Programmed,
            (connected, _, acknowledged) => ResourceState::Pending { acknowledged, connected },
        }
    }

    /// Sets the state of a stream. Returns whether that is news.
    pub(super) fn update(&mut self, load_balancer: &str, stream: u64, state: ProxyState) -> bool {
        let current = self.load_balancers.get(load_balancer).and_then(|proxies| proxies.get(&stream));
        if current == Some(&state) {
            return false;
        }
        let all = Arc::make_mut(&mut self.load_balancers);
        all.entry(load_balancer.to_owned()).or_default().insert(stream, state);
        true
    }

    pub(super) fn remove(&mut self, load_balancer: &str, stream: u64) {
        let all = Arc::make_mut(&mut self.load_balancers);
        if let Some(proxies) = all.get_mut(load_balancer) {
            proxies.remove(&stream);
            if proxies.is_empty() {
                all.remove(load_balancer);
            }
        }
    }
}

impl ProxyState {
    /// Whether it has yet to answer for the first time since it connected.
    pub fn is_joining(&self) -> bool {
        self.acknowledged.is_none() && self.refused.is_empty() && self.refused_snapshot.is_none()
    }

    /// Whether it holds this version of a resource; an error is its refusal.
    fn holds(&self, name: &str, version: &str) -> Result<bool, String> {
        if let Some(rejection) = self.refused.get(name).filter(|rejection| rejection.version == version) {
            return Err(rejection.message.clone());
        }
        if let Some((snapshot, message)) = &self.refused_snapshot
            && snapshot.version(name) == Some(version)
            && !self.has_acknowledged(name, version)
        {
            return Err(message.clone());
        }
        Ok(self.has_acknowledged(name, version))
    }

    fn holds_snapshot(&self, snapshot: &Snapshot) -> Result<bool, String> {
        if let Some((refused, message)) = &self.refused_snapshot
            && refused == snapshot
        {
            return Err(message.clone());
        }
        let refused = self
            .refused
            .iter()
            .find(|(name, rejection)| snapshot.version(name) == Some(rejection.version.as_str()));
        match refused {
            Some((_, rejection)) => Err(rejection.message.clone()),
            None => Ok(self.acknowledged.as_ref() == Some(snapshot)),
        }
    }

    fn has_acknowledged(&self, name: &str, version: &str) -> bool {
        self.acknowledged.as_ref().is_some_and(|snapshot| snapshot.version(name) == Some(version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Frontend, resource::Kind};

    fn proxy(acknowledged: Option<&Snapshot>) -> ProxyState {
        ProxyState {
            node: "proxy".to_owned(),
            capabilities: BTreeSet::new(),
            acknowledged: acknowledged.cloned(),
            refused: BTreeMap::new(),
            refused_snapshot: None,
        }
    }

    fn acks(proxies: Vec<ProxyState>) -> Acks {
        let mut acks = Acks::default();
        for (stream, proxy) in (0..).zip(proxies) {
            acks.update("lb", stream, proxy);
        }
        acks
    }

    #[test]
    fn a_proxy_that_has_just_connected_takes_nothing_back_from_the_others() {
        let snapshot = Snapshot::new([("a".to_owned(), Kind::Frontend(Frontend::default()))]);
        let version = snapshot.version("a").unwrap_or_default();
        let state = |proxies| acks(proxies).resource("lb", "a", version);
        assert_eq!(state(vec![]), ResourceState::NoProxy);
        assert_eq!(state(vec![proxy(None)]), ResourceState::Pending { acknowledged: 0, connected: 1 });
        assert_eq!(state(vec![proxy(Some(&snapshot)), proxy(None)]), ResourceState::Programmed);
        let older = Snapshot::default();
        let one_behind = state(vec![proxy(Some(&snapshot)), proxy(Some(&older))]);
        assert_eq!(one_behind, ResourceState::Pending { acknowledged: 1, connected: 2 });
    }

    #[test]
    fn a_proxy_that_refuses_the_first_thing_it_gets_is_heard() {
        let snapshot = Snapshot::new([("a".to_owned(), Kind::Frontend(Frontend::default()))]);
        let version = snapshot.version("a").unwrap_or_default();
        let mut refusing = proxy(None);
        let rejection = Rejection { version: version.to_owned(), message: "no".to_owned() };
        refusing.refused.insert("a".to_owned(), rejection);
        let state = acks(vec![proxy(Some(&snapshot)), refusing]).resource("lb", "a", version);
        assert_eq!(state, ResourceState::Rejected { message: "no".to_owned() });
    }

    #[test]
    fn an_answer_concerns_what_was_pending_and_another_proxy_everything() {
        let (one, two) =
            (Snapshot::default(), Snapshot::new([("a".to_owned(), Kind::Frontend(Frontend::default()))]));
        let changes = |before: Vec<ProxyState>, now: Vec<ProxyState>| acks(now).since(&acks(before));
        let lb: BTreeSet<String> = ["lb".to_owned()].into();
        assert_eq!(changes(vec![proxy(Some(&one))], vec![proxy(Some(&one))]), AckChanges::default());
        let answered = changes(vec![proxy(Some(&one))], vec![proxy(Some(&two))]);
        assert_eq!(answered, AckChanges { load_balancers: lb.clone(), ..AckChanges::default() });
        let everything = AckChanges { everything: lb.clone(), ..answered.clone() };
        assert_eq!(changes(vec![], vec![proxy(Some(&one))]), everything);
        assert_eq!(changes(vec![proxy(None)], vec![proxy(Some(&one))]), everything, "it counts from now on");
        assert_eq!(changes(vec![proxy(Some(&one))], vec![]), everything);
        assert_eq!(changes(vec![], vec![proxy(None)]), everything, "there was none at all");
        assert_eq!(changes(vec![proxy(Some(&one))], vec![proxy(Some(&one)), proxy(None)]), answered);
        let mut refusing = proxy(Some(&one));
        let rejection = Rejection { version: "1".to_owned(), message: "no".to_owned() };
        refusing.refused.insert("a".to_owned(), rejection);
        let refused = AckChanges { refused: ["a".to_owned()].into(), ..answered };
        assert_eq!(changes(vec![proxy(Some(&one))], vec![refusing.clone()]), refused);
        assert_eq!(changes(vec![refusing], vec![proxy(Some(&two))]), refused);
    }
}
