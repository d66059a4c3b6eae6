//! Which scenarios run on which cluster: as few clusters as their needs allow. Pure.
//!
//! The cluster that was asked for serves all whose needs it meets; a larger one serves those that need less, and Istio can be
//! taken out of a cluster for a while. What is left has one more cluster, which meets the needs of all of them.

use crate::cluster::{ClusterSpec, IstioChoice};
use meshproof_model::scenario::needs::{Istio, Needs};

/// The cluster that was asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// What it is to be.
    pub spec: ClusterSpec,
    /// Whether its number of nodes can still be chosen: nobody named one, and the cluster is not there yet.
    pub may_grow: bool,
}

/// A cluster, and scenarios that run on it one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The cluster; without Istio if they need it gone.
    pub spec: ClusterSpec,
    /// Nobody asked for this cluster by name: it goes afterwards.
    pub extra: bool,
    /// Which scenarios, by their place among the needs.
    pub scenarios: Vec<usize>,
}

/// Groups scenarios by their needs. Each is in one group; their order within a group stays.
pub fn groups(asked: &Asked, needs: &[&Needs]) -> Vec<Group> {
    let spec = grown(asked, needs);
    let (own, others): (Vec<_>, Vec<_>) =
        needs.iter().copied().enumerate().partition(|(_, needs)| serves(&spec, needs));
    let more = one_more(&spec, &others);
    let of_two = on(&spec, false, &own).into_iter().chain(on(&more, true, &others));
    of_two.filter(|group| !group.scenarios.is_empty()).collect()
}

/// The cluster asked for, with as many nodes as any scenario needs if that is still open.
pub fn grown(asked: &Asked, needs: &[&Needs]) -> ClusterSpec {
    let most = needs.iter().map(|needs| needs.nodes).max().filter(|_| asked.may_grow);
    ClusterSpec { nodes: asked.spec.nodes.max(most.unwrap_or(0)), ..asked.spec.clone() }
}

fn serves(spec: &ClusterSpec, needs: &Needs) -> bool {
    let istio = match needs.istio {
        Istio::AtLeast(..) => spec.istio != IstioChoice::None,
        Istio::Any | Istio::None => true,
    };
    istio && spec.nodes >= needs.nodes
}

/// A cluster for those that the one asked for does not serve, called by what it has more.
fn one_more(spec: &ClusterSpec, others: &[(usize, &Needs)]) -> ClusterSpec {
    let nodes = others.iter().map(|(_, needs)| needs.nodes).max().unwrap_or(1);
    let wanted = others.iter().any(|(_, needs)| matches!(needs.istio, Istio::AtLeast(..)));
    let (istio, more) = match &spec.istio {
        IstioChoice::None if wanted => (IstioChoice::Pinned, "istio".to_owned()),
        istio => (istio.clone(), format!("{nodes}-nodes")),
    };
    ClusterSpec { name: format!("{}-{more}", spec.name), nodes, istio, ..spec.clone() }
}

/// First those that Istio is there for, or that do not mind; then, without it, those that need it gone.
fn on(spec: &ClusterSpec, extra: bool, scenarios: &[(usize, &Needs)]) -> [Group; 2] {
    let gone = |needs: &Needs| needs.istio == Istio::None && spec.istio != IstioChoice::None;
    [false, true].map(|without_istio| Group {
        spec: ClusterSpec { without_istio, ..spec.clone() },
        extra,
        scenarios: scenarios
            .iter()
            .filter(|(_, needs)| gone(needs) == without_istio)
            .map(|(at, _)| *at)
            .collect(),
    })
}

impl Group {
    /// What is said before its scenarios run.
    pub fn headline(&self, ids: &[&str]) -> String {
        let istio = if self.spec.without_istio { ", Istio taken out" } else { "" };
        let extra = if self.extra { ", made for them" } else { "" };
        format!("on cluster {}{istio}{extra}: {}", self.spec.name, ids.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESH: Istio = Istio::AtLeast(1, 24);

    fn needs(istio: Istio, nodes: u8) -> Needs {
        Needs { istio, nodes, ..Needs::default() }
    }

    fn asked(nodes: u8, may_grow: bool) -> Asked {
        Asked { spec: ClusterSpec { name: "m".into(), nodes, ..ClusterSpec::default() }, may_grow }
    }

    /// Name, nodes, whether Istio is out, scenarios.
    fn told(asked: &Asked, needs: &[Needs]) -> Vec<(String, u8, bool, Vec<usize>)> {
        let needs: Vec<_> = needs.iter().collect();
        let told = groups(asked, &needs).into_iter().map(|group| {
            assert_eq!(group.extra, group.spec.name != "m");
            (group.spec.name, group.spec.nodes, group.spec.without_istio, group.scenarios)
        });
        told.collect()
    }

    #[test]
    fn what_one_cluster_serves_runs_on_one() {
        let all = [needs(MESH, 1), needs(Istio::Any, 1), needs(MESH, 1)];
        assert_eq!(told(&asked(1, false), &all), [("m".into(), 1, false, vec![0, 1, 2])]);
    }

    #[test]
    fn istio_is_taken_out_last() {
        let all = [needs(Istio::None, 1), needs(MESH, 1), needs(Istio::None, 1), needs(Istio::Any, 1)];
        let wanted = [("m".into(), 1, false, vec![1, 3]), ("m".into(), 1, true, vec![0, 2])];
        assert_eq!(told(&asked(1, false), &all), wanted);
    }

    #[test]
    fn a_cluster_that_is_not_there_yet_gets_as_many_nodes_as_the_greediest_needs() {
        let all = [needs(MESH, 1), needs(MESH, 3), needs(MESH, 2)];
        assert_eq!(told(&asked(1, true), &all), [("m".into(), 3, false, vec![0, 1, 2])]);
        assert_eq!(told(&asked(5, true), &all), [("m".into(), 5, false, vec![0, 1, 2])]);
    }

    #[test]
    fn a_cluster_that_is_there_stays_as_it_is_and_one_more_serves_the_rest() {
        let all = [needs(MESH, 3), needs(MESH, 1), needs(Istio::None, 2), needs(Istio::None, 1)];
        let wanted = [
            ("m".into(), 1, false, vec![1]),
            ("m".into(), 1, true, vec![3]),
            ("m-3-nodes".into(), 3, false, vec![0]),
            ("m-3-nodes".into(), 3, true, vec![2]),
        ];
        assert_eq!(told(&asked(1, false), &all), wanted);
    }

    #[test]
    fn a_cluster_that_serves_nobody_is_left_alone() {
        let wanted = [("m-2-nodes".into(), 2, false, vec![0])];
        assert_eq!(told(&asked(1, false), &[needs(MESH, 2)]), wanted);
        assert!(told(&asked(1, false), &[]).is_empty());
    }

    #[test]
    fn without_istio_in_the_cluster_asked_for_nothing_is_taken_out_and_one_more_has_it() {
        let mut asked = asked(1, false);
        asked.spec.istio = IstioChoice::None;
        let all = [needs(Istio::None, 1), needs(MESH, 1), needs(Istio::Any, 1)];
        let wanted = [("m".into(), 1, false, vec![0, 2]), ("m-istio".into(), 1, false, vec![1])];
        assert_eq!(told(&asked, &all), wanted);
    }

    #[test]
    fn it_is_said_where_scenarios_run() {
        let all = [needs(Istio::None, 2)];
        let group = groups(&asked(1, false), &[&all[0]]).remove(0);
        assert_eq!(group.headline(&["a", "b"]), "on cluster m-2-nodes, Istio taken out, made for them: a, b");
    }
}
