//! Who may reach the pods, and whom they may reach: a policy for each Deployment, of the same name. By default broker,
//! database and exchange may be anywhere, so what is closed are ports; a pipeline's `networkPolicy` closes the rest.

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::names::{Owner, Role, owned_metadata, role_labels, role_name, selector_labels};
use super::{OPERATOR_LABEL, WORKER_PORT_NAME};
use crate::reconcile::plan::{PipelineNetwork, Reach, WorkloadsPlan};

/// The name server's own, and those at which it answers behind its Service on some platforms (OpenShift, Gardener, vCluster).
const DNS_PORTS: [i32; 4] = [53, 5353, 8053, 1053];
/// The label of a namespace with its own name, which Kubernetes keeps.
const NAMESPACE_LABEL: &str = "kubernetes.io/metadata.name";

/// One for each Deployment.
pub(super) fn network_policies(
    owner: &Owner<'_>,
    workloads: &WorkloadsPlan,
    network: &PipelineNetwork,
    operator_namespace: Option<&str>,
) -> Vec<NetworkPolicy> {
    let policy = |role: Role<'_>, reached: &[&Reach]| NetworkPolicy {
        metadata: owned_metadata(owner, role_name(owner.id, role), role_labels(owner.id, role)),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(labelled(selector_labels(owner.id, role))),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(vec![asked_by(network, operator_namespace)]),
            egress: Some(
                std::iter::once(dns())
                    .chain(reached.iter().chain([&&network.collector]).filter_map(|reach| rule(reach)))
                    .chain(network.further_egress.clone())
                    .collect(),
            ),
        }),
    };
    let PipelineNetwork { brokers, database, streams, rest, .. } = network;
    let producers = workloads.producers.iter().map(|producer| {
        let source = producer.settings.source.name.as_str();
        let reached: Vec<&Reach> = std::iter::once(brokers).chain(streams.get(source)).collect();
        policy(Role::Producer { source }, &reached)
    });
    let aggregator = policy(Role::Aggregator, &[brokers, database]);
    let repairer = workloads.repairer.iter().map(|_| policy(Role::Repairer, &[brokers, database, rest]));
    producers.chain([aggregator]).chain(repairer).collect()
}

/// The operator asks how the workers are, Prometheus for their metrics; the kubelet needs no leave.
fn asked_by(network: &PipelineNetwork, operator_namespace: Option<&str>) -> NetworkPolicyIngressRule {
    let operator = NetworkPolicyPeer {
        // Where it is not known where the operator runs, it may run anywhere.
        namespace_selector: Some(operator_namespace.map_or_else(LabelSelector::default, |namespace| {
            labelled([(NAMESPACE_LABEL.to_owned(), namespace.to_owned())])
        })),
        pod_selector: Some(labelled([(OPERATOR_LABEL.0.to_owned(), OPERATOR_LABEL.1.to_owned())])),
        ..NetworkPolicyPeer::default()
    };
    NetworkPolicyIngressRule {
        from: Some(std::iter::once(operator).chain(network.metrics_from.clone()).collect()),
        ports: Some(vec![NetworkPolicyPort {
            port: Some(IntOrString::String(WORKER_PORT_NAME.to_owned())),
            ..NetworkPolicyPort::default()
        }]),
    }
}

/// Wherever the cluster's name server is: in a namespace of its own, on the node, or elsewhere.
fn dns() -> NetworkPolicyEgressRule {
    let port = |port, protocol: &str| NetworkPolicyPort {
        port: Some(IntOrString::Int(port)),
        protocol: Some(protocol.to_owned()),
        ..NetworkPolicyPort::default()
    };
    let ports = DNS_PORTS.into_iter().flat_map(|number| [port(number, "UDP"), port(number, "TCP")]);
    NetworkPolicyEgressRule { ports: Some(ports.collect()), to: None }
}

/// None where no port is known: a rule without ports would let through all of them.
fn rule(reach: &Reach) -> Option<NetworkPolicyEgressRule> {
    let port = |port: &u16| NetworkPolicyPort {
        port: Some(IntOrString::Int(i32::from(*port))),
        ..NetworkPolicyPort::default()
    };
    (!reach.ports.is_empty()).then(|| NetworkPolicyEgressRule {
        ports: Some(reach.ports.iter().map(port).collect()),
        // An empty list would say the same, and read as its contrary.
        to: Some(reach.peers.clone()).filter(|peers| !peers.is_empty()),
    })
}

fn labelled(labels: impl IntoIterator<Item = (String, String)>) -> LabelSelector {
    LabelSelector { match_labels: Some(labels.into_iter().collect()), ..LabelSelector::default() }
}
