//! What the NetworkPolicies of a pipeline mean: who reaches whom, evaluated as a network that enforces them would.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use crds::CryptoPipeline;
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use operator::reconcile::desired::desire;
use operator::reconcile::observe::{Observed, Reading, SecretState};
use operator::reconcile::plan::servers;
use serde_json::json;

use crate::objects::installation;
use crate::world::{away, fixture, known, planned, running_world};

/// Somebody in the cluster or outside of it.
#[derive(Clone, Debug)]
enum Party {
    Pod { namespace: &'static str, labels: BTreeMap<String, String> },
    Address(Ipv4Addr),
}

fn pod(namespace: &'static str, labels: &[(&str, &str)]) -> Party {
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Party::Pod { namespace, labels }
}

/// A worker of the fixture's pipeline.
fn worker(role: &str, source: Option<&str>) -> Party {
    worker_of("everything", role, source)
}

fn worker_of(pipeline: &str, role: &str, source: Option<&str>) -> Party {
    let mut labels = vec![
        ("app.kubernetes.io/name", "cryptopipeline"),
        ("app.kubernetes.io/instance", pipeline),
        ("app.kubernetes.io/component", role),
        ("app.kubernetes.io/managed-by", "cryptopipeline-operator"),
    ];
    labels.extend(source.map(|source| ("cryptopipeline.dev/source", source)));
    pod("trading", &labels)
}

fn operator_in(namespace: &'static str) -> Party {
    pod(namespace, &[("app.kubernetes.io/name", "cryptopipeline-operator")])
}

fn prometheus() -> Party {
    pod("monitoring", &[("app.kubernetes.io/name", "prometheus")])
}

fn address(text: &str) -> Party {
    Party::Address(text.parse().unwrap())
}

/// Whether a TCP connection from one to the other would be let through.
fn reaches(policies: &[NetworkPolicy], from: &Party, to: &Party, port: u16) -> bool {
    let specs = |party: &Party, kind: &str| -> Vec<&NetworkPolicySpec> {
        let selected = policies.iter().filter_map(|policy| policy.spec.as_ref().map(|spec| (policy, spec)));
        let selected = selected.filter(|(policy, spec)| match party {
            Party::Pod { namespace, labels } => {
                policy.namespace().as_deref() == Some(*namespace)
                    && selects(spec.pod_selector.as_ref().unwrap(), labels)
                    && spec.policy_types.iter().flatten().any(|has| has == kind)
            }
            Party::Address(_) => false,
        });
        selected.map(|(_, spec)| spec).collect()
    };
    let (leaving, entering) = (specs(from, "Egress"), specs(to, "Ingress"));
    let may_leave = leaving
        .iter()
        .flat_map(|spec| spec.egress.iter().flatten())
        .any(|rule| has_port(rule.ports.as_ref(), port) && has_peer(rule.to.as_ref(), to));
    let may_enter = entering
        .iter()
        .flat_map(|spec| spec.ingress.iter().flatten())
        .any(|rule| has_port(rule.ports.as_ref(), port) && has_peer(rule.from.as_ref(), from));
    (leaving.is_empty() || may_leave) && (entering.is_empty() || may_enter)
}

fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    assert_eq!(selector.match_expressions, None, "not evaluated here");
    selector.match_labels.iter().flatten().all(|(name, value)| labels.get(name) == Some(value))
}

fn has_port(ports: Option<&Vec<NetworkPolicyPort>>, port: u16) -> bool {
    let Some(ports) = ports.filter(|ports| !ports.is_empty()) else { return true };
    ports.iter().any(|wanted| match wanted.port.as_ref().unwrap() {
        IntOrString::Int(number) => *number == i32::from(port) && wanted.protocol.as_deref() != Some("UDP"),
        IntOrString::String(name) => name == "http" && port == 8080,
    })
}

fn has_peer(peers: Option<&Vec<NetworkPolicyPeer>>, party: &Party) -> bool {
    let Some(peers) = peers.filter(|peers| !peers.is_empty()) else { return true };
    peers.iter().any(|peer| match party {
        Party::Address(address) => peer.ip_block.as_ref().is_some_and(|block| holds(block, *address)),
        Party::Pod { namespace, labels } => {
            let in_namespace = peer.namespace_selector.as_ref().map_or(*namespace == "trading", |selector| {
                let name = ("kubernetes.io/metadata.name".to_owned(), (*namespace).to_owned());
                selects(selector, &BTreeMap::from([name]))
            });
            let of_pod = peer.pod_selector.as_ref().is_none_or(|selector| selects(selector, labels));
            peer.ip_block.is_none() && in_namespace && of_pod
        }
    })
}

fn holds(block: &IPBlock, address: Ipv4Addr) -> bool {
    let within = |cidr: &str| {
        let (network, length) = cidr.split_once('/').unwrap();
        let length: u32 = length.parse().unwrap();
        let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
        u32::from(network.parse::<Ipv4Addr>().unwrap()) & mask == u32::from(address) & mask
    };
    within(&block.cidr) && !block.except.iter().flatten().any(|cidr| within(cidr))
}

fn policies(pipeline: &CryptoPipeline, observed: &Observed) -> Option<Vec<NetworkPolicy>> {
    desire(&planned(pipeline, observed), 1, &installation()).unwrap().network_policies
}

fn fixture_with(change: impl FnOnce(&mut CryptoPipeline)) -> CryptoPipeline {
    let mut pipeline = fixture("full");
    change(&mut pipeline);
    pipeline
}

fn policies_of(change: impl FnOnce(&mut CryptoPipeline)) -> Vec<NetworkPolicy> {
    let pipeline = fixture_with(change);
    policies(&pipeline, &running_world(&pipeline)).unwrap()
}

/// Every port that anybody of the fixture's world listens on: the bootstrap's, the brokers' own, the database's, the two
/// exchanges', the API server's, the cloud's metadata service's, the workers'.
const PORTS: [u16; 9] = [9092, 9093, 5433, 443, 9443, 8090, 6443, 80, 8080];

/// To which of the ports a worker may connect outside of the cluster.
fn open_ports(policies: &[NetworkPolicy], from: &Party) -> Vec<u16> {
    PORTS.into_iter().filter(|port| reaches(policies, from, &address("198.51.100.7"), *port)).collect()
}

#[test]
fn each_worker_reaches_what_it_is_there_for_and_nothing_else() {
    let policies = policies_of(|_| {});
    let table = [
        (worker("producer", Some("spot")), vec![9092, 9093, 443, 9443]),
        (worker("producer", Some("sim")), vec![9092, 9093, 9443, 8090]),
        (worker("aggregator", None), vec![9092, 9093, 5433]),
        (worker("repairer", None), vec![9092, 9093, 5433, 443, 8090]),
    ];
    for (from, expected) in table {
        assert_eq!(open_ports(&policies, &from), expected, "{from:?}");
        for port in [53, 5353, 8053, 1053] {
            assert!(reaches(&policies, &from, &address("10.244.0.2"), port), "names have to be found");
        }
    }
    // What no policy speaks of is none of their business.
    assert_eq!(open_ports(&policies, &worker_of("other", "aggregator", None)), PORTS);
}

#[test]
fn behind_a_service_there_may_be_another_port() {
    let pipeline = fixture("full");
    let services = [("postgres", 6432), ("exchange-sim", 9080), ("broker-0.brokers.kafka.svc", 19_093)]
        .map(|(host, port)| (host.to_owned(), known(BTreeSet::from([port]))));
    let observed = Observed { service_ports: services.into(), ..running_world(&pipeline) };
    let policies = policies(&pipeline, &observed).unwrap();
    let there = address("10.244.0.7");
    assert!(reaches(&policies, &worker("aggregator", None), &there, 6432));
    assert!(reaches(&policies, &worker("aggregator", None), &there, 19_093), "as the broker tells of itself");
    assert!(reaches(&policies, &worker("producer", Some("sim")), &there, 9080));
    assert!(reaches(&policies, &worker("repairer", None), &there, 9080));
    assert!(!reaches(&policies, &worker("producer", Some("spot")), &there, 9080));
    assert!(!reaches(&policies, &worker("producer", Some("sim")), &there, 6432));
}

/// The fixture, with a collector named to its aggregators.
fn traced_to(endpoint: &str) -> CryptoPipeline {
    fixture_with(|pipeline| {
        let env = json!([{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": endpoint}]);
        pipeline.spec.aggregators.pod_template.env = serde_json::from_value(env).unwrap();
    })
}

#[test]
fn workers_reach_the_collector_that_their_environment_names() {
    let there = address("10.244.0.8");
    let pipeline = traced_to("http://collector.monitoring:4318");
    let services = [("collector.monitoring".to_owned(), known(BTreeSet::from([14_318])))];
    let observed = Observed { service_ports: services.into(), ..running_world(&pipeline) };
    let policies = policies(&pipeline, &observed).unwrap();
    for port in [4318, 14_318] {
        assert!(reaches(&policies, &worker("aggregator", None), &there, port), "{port}");
    }
    assert!(!reaches(&policies, &worker("aggregator", None), &there, 4317));
    assert!(!reaches(&policies_of(|_| {}), &worker("aggregator", None), &there, 4318), "nobody is traced");
}

#[test]
fn a_collector_is_looked_for_behind_its_service_and_one_on_the_node_has_none() {
    let hosts = |endpoint| {
        let servers = servers(&traced_to(endpoint).spec, &SecretState::Pending, None);
        servers.into_iter().map(|server| server.host).collect::<BTreeSet<_>>()
    };
    assert!(hosts("http://collector.monitoring:4318").contains("collector.monitoring"));
    let on_node = "http://$(NODE_IP):4318";
    assert!(hosts(on_node).iter().all(|host| !host.contains("NODE_IP")));
    let pipeline = traced_to(on_node);
    let policies = policies(&pipeline, &running_world(&pipeline)).unwrap();
    assert!(reaches(&policies, &worker("aggregator", None), &address("10.244.0.8"), 4318));
}

#[test]
fn workers_are_reached_by_their_operator_and_prometheus_at_one_port() {
    let policies = policies_of(|_| {});
    let workers = [
        worker("producer", Some("spot")),
        worker("producer", Some("sim")),
        worker("aggregator", None),
        worker("repairer", None),
    ];
    let askers = [
        (operator_in("operators"), true),
        (prometheus(), true),
        (operator_in("trading"), false),
        (pod("trading", &[("app", "stranger")]), false),
        (pod("monitoring", &[("app", "stranger")]), false),
        (worker_of("other", "aggregator", None), false),
        (worker("aggregator", None), false),
        (address("198.51.100.7"), false),
    ];
    for to in &workers {
        for (from, may) in &askers {
            assert_eq!(reaches(&policies, from, to, 8080), *may, "{from:?} asks {to:?}");
            assert!(!reaches(&policies, from, to, 9092), "{to:?} has one port");
        }
    }
}

#[test]
fn a_pipeline_may_say_where_its_servers_are_and_who_reads_its_metrics() {
    let policies = policies_of(|pipeline| {
        pipeline.spec.network_policy = serde_json::from_value(json!({
            "kafka": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kafka"}}}],
            "database": [{"ipBlock": {"cidr": "10.1.2.3/32"}}],
            "exchanges": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}],
            "metrics": [],
            "egress": [{"ports": [{"port": 3128}], "to": [{"ipBlock": {"cidr": "10.9.9.9/32"}}]}],
        }))
        .unwrap();
    });
    let (aggregator, producer) = (worker("aggregator", None), worker("producer", Some("spot")));
    let broker = pod("kafka", &[("strimzi.io/cluster", "my-cluster")]);
    assert!(reaches(&policies, &aggregator, &broker, 9092));
    assert!(!reaches(&policies, &aggregator, &pod("elsewhere", &[]), 9092));
    assert!(!reaches(&policies, &aggregator, &address("198.51.100.7"), 9092));
    assert!(reaches(&policies, &aggregator, &address("10.1.2.3"), 5433));
    assert!(!reaches(&policies, &aggregator, &address("10.1.2.4"), 5433));
    assert!(reaches(&policies, &producer, &address("198.51.100.7"), 443));
    assert!(!reaches(&policies, &producer, &address("10.1.2.3"), 443));
    assert!(reaches(&policies, &producer, &address("10.9.9.9"), 3128));
    assert!(!reaches(&policies, &producer, &address("198.51.100.7"), 3128));
    assert!(!reaches(&policies, &prometheus(), &producer, 8080));
    assert!(reaches(&policies, &operator_in("operators"), &producer, 8080));
}

#[test]
fn switched_off_there_are_none_and_while_the_broker_is_away_they_stay_as_they_are() {
    assert_eq!(policies_of(|pipeline| pipeline.spec.network_policy.enabled = false), []);
    let pipeline = fixture("full");
    // Not without the brokers' own ports, which nobody knows now.
    let away = Observed { topic: away("refused"), ..running_world(&pipeline) };
    assert_eq!(policies(&pipeline, &away), None);
    // Nor without those behind the Services.
    for unread in [Reading::Pending, crate::world::away("refused")] {
        let services = [("postgres".to_owned(), unread)];
        let unread = Observed { service_ports: services.into(), ..running_world(&pipeline) };
        assert_eq!(policies(&pipeline, &unread), None);
    }
    // Who suspects them can switch them off all the same.
    let off = fixture_with(|pipeline| pipeline.spec.network_policy.enabled = false);
    assert_eq!(policies(&off, &away), Some(Vec::new()));
}
