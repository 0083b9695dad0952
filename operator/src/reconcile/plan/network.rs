//! Whom the workers have to reach, and by which ports: from what the spec, the Secrets, the brokers and the Services behind
//! their names say.

use std::collections::BTreeSet;

use crds::CryptoPipelineSpec;
use http::Uri;
use k8s_openapi::api::networking::v1::NetworkPolicyPeer;

use super::settings::{dumps_url, rest_url, websocket_url};
use super::{NetworkPlan, PipelineNetwork, Place, Reach};
use crate::reconcile::observe::{Observed, Reading, SecretState, TopicState};

/// Somebody whom workers connect to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Server {
    /// A name or an address.
    pub host: String,
    /// As it is named; behind a Service it may be another.
    pub port: u16,
}

/// Every server that the pipeline names, and those that its brokers name.
#[must_use]
pub fn servers(spec: &CryptoPipelineSpec, database: &SecretState, topic: Option<&TopicState>) -> Vec<Server> {
    let told = topic.into_iter().flat_map(|topic| &topic.brokers);
    let told = told.map(|(host, port)| Server { host: host.clone(), port: *port });
    let brokers = spec.kafka.iter().flat_map(|kafka| brokers(&kafka.bootstrap_servers));
    let exchanges = spec
        .sources
        .iter()
        .flat_map(|source| [websocket_url(source), rest_url(source)].into_iter().chain(dumps_url(source)));
    let exchanges = exchanges.filter_map(|url| server_of(&url));
    brokers.chain(told).chain(database_server(database)).chain(exchanges).collect()
}

pub(super) fn plan_network(spec: &CryptoPipelineSpec, observed: &Observed, place: Place<'_>) -> NetworkPlan {
    if place != Place::Cluster || !spec.network_policy.enabled {
        return NetworkPlan::Open;
    }
    network(spec, observed).map_or(NetworkPlan::Unknown, |network| NetworkPlan::Closed(Box::new(network)))
}

/// `None` while the topic or a Service is not known: nothing is known then of the ports behind them.
fn network(spec: &CryptoPipelineSpec, observed: &Observed) -> Option<PipelineNetwork> {
    if observed.service_ports.values().any(|ports| ports.value().is_none()) {
        return None;
    }
    let ports = |servers: &mut dyn Iterator<Item = Server>| -> BTreeSet<u16> {
        let behind = |host: &str| observed.service_ports.get(host).and_then(Reading::value);
        servers
            .flat_map(|server| {
                behind(&server.host).into_iter().flatten().copied().chain([server.port]).collect::<Vec<_>>()
            })
            .collect()
    };
    let of_urls = |urls: &mut dyn Iterator<Item = String>| ports(&mut urls.filter_map(|url| server_of(&url)));
    let reach = |ports, peers: &[NetworkPolicyPeer]| Reach { ports, peers: peers.to_vec() };
    let policy = &spec.network_policy;
    let mut broker_ports = ports(&mut brokers(&spec.kafka.as_ref()?.bootstrap_servers));
    let told = &observed.topic_state()?.brokers;
    broker_ports
        .extend(ports(&mut told.iter().map(|(host, port)| Server { host: host.clone(), port: *port })));
    let mut rest = spec.sources.iter().map(rest_url).chain(spec.sources.iter().filter_map(dumps_url));
    Some(PipelineNetwork {
        metrics_from: policy.metrics_from(),
        further_egress: policy.egress.clone(),
        brokers: reach(broker_ports, &policy.kafka),
        database: reach(
            ports(&mut database_server(&observed.database_secrets).into_iter()),
            &policy.database,
        ),
        streams: spec
            .sources
            .iter()
            .map(|source| {
                let urls = &mut [websocket_url(source), rest_url(source)].into_iter();
                (source.name.clone(), reach(of_urls(urls), &policy.exchanges))
            })
            .collect(),
        rest: reach(of_urls(&mut rest), &policy.exchanges),
    })
}

fn brokers(bootstrap_servers: &str) -> impl Iterator<Item = Server> {
    bootstrap_servers.split(',').filter_map(|server| {
        let (host, port) = server.rsplit_once(':')?;
        Some(Server { host: host.to_owned(), port: port.parse().ok()? })
    })
}

fn database_server(secrets: &SecretState) -> Option<Server> {
    match secrets {
        SecretState::Found { server: Some((host, port)), .. } => {
            Some(Server { host: host.clone(), port: *port })
        }
        _ => None,
    }
}

/// The server of an exchange's address, which the rules of the spec let have one of these four schemes only.
fn server_of(url: &str) -> Option<Server> {
    let uri: Uri = url.parse().ok()?;
    let of_scheme = if matches!(uri.scheme_str(), Some("wss" | "https")) { 443 } else { 80 };
    Some(Server { host: uri.host()?.to_owned(), port: uri.port_u16().unwrap_or(of_scheme) })
}

#[cfg(test)]
mod tests {
    use super::server_of;

    #[test]
    fn an_address_without_a_port_has_that_of_its_scheme() {
        let urls = ["wss://a:9443/ws", "wss://a", "https://a/b", "ws://a", "http://[::1]:81"];
        let ports = urls.map(|url| server_of(url).unwrap().port);
        assert_eq!(ports, [9443, 443, 443, 80, 81]);
    }
}
