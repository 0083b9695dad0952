//! Whom the workers have to reach, and by which ports: from what the spec, the Secrets, the brokers and the Services behind
//! their names say.

use crds::CryptoPipelineSpec;
use crds::spec::{SourceSpec, Transport};
use http::Uri;
use k8s_openapi::api::networking::v1::NetworkPolicyPeer;

use super::settings::{dumps_url, rest_url, websocket_url};
use super::{NetworkPlan, PipelineNetwork, Place, Reach};
use crate::reconcile::observe::{Observed, Reading, SecretState, Server, TopicState};

/// The variables of OpenTelemetry's standard that say where traces go.
const TRACES_ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];

/// Every server that the pipeline names, and those that its brokers name.
#[must_use]
pub fn servers(spec: &CryptoPipelineSpec, database: &SecretState, topic: Option<&TopicState>) -> Vec<Server> {
    let told = topic.into_iter().flat_map(|topic| topic.brokers.clone());
    let brokers = spec.kafka.iter().flat_map(|kafka| bootstrap_servers(&kafka.bootstrap_servers));
    let exchanges = spec.sources.iter().flat_map(|source| stream_servers(source).chain(rest_servers(source)));
    let named = brokers.chain(told).chain(database_server(database)).chain(exchanges);
    // An address of which a part is known to the pod only names no Service.
    named.chain(collectors(spec).filter(|collector| !collector.host.contains('$'))).collect()
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
    let reach = |servers: Vec<Server>, peers: &[NetworkPolicyPeer]| Reach {
        ports: servers.iter().flat_map(|server| ports_of(server, observed)).collect(),
        peers: peers.to_vec(),
    };
    let policy = &spec.network_policy;
    let brokers = bootstrap_servers(&spec.kafka.as_ref()?.bootstrap_servers);
    let brokers = brokers.chain(observed.topic_state()?.brokers.clone());
    let stream = |source: &SourceSpec| {
        let servers = stream_servers(source).collect();
        (source.name.clone(), reach(servers, &policy.exchanges))
    };
    Some(PipelineNetwork {
        metrics_from: policy.metrics_from(),
        further_egress: policy.egress.clone(),
        brokers: reach(brokers.collect(), &policy.kafka),
        database: reach(database_server(&observed.database_secrets).into_iter().collect(), &policy.database),
        streams: spec.sources.iter().map(stream).collect(),
        collector: reach(collectors(spec).collect(), &[]),
        rest: reach(spec.trade_sources().flat_map(rest_servers).collect(), &policy.exchanges),
    })
}

/// The port that a server is named by, and those behind it if that names a Service.
fn ports_of(server: &Server, observed: &Observed) -> impl Iterator<Item = u16> {
    let behind = observed.service_ports.get(&server.host).and_then(Reading::value);
    behind.into_iter().flatten().copied().chain([server.port])
}

/// What a producer asks.
fn stream_servers(source: &SourceSpec) -> impl Iterator<Item = Server> + use<> {
    let stream = (source.transport == Transport::Websocket).then(|| websocket_url(source));
    stream.into_iter().chain([rest_url(source)]).filter_map(|url| server_of(&url))
}

/// What the repairer asks.
fn rest_servers(source: &SourceSpec) -> impl Iterator<Item = Server> + use<> {
    std::iter::once(rest_url(source)).chain(dumps_url(source)).filter_map(|url| server_of(&url))
}

/// Where the pods of any role send their traces.
fn collectors(spec: &CryptoPipelineSpec) -> impl Iterator<Item = Server> {
    let CryptoPipelineSpec { producers, aggregators, repair, .. } = spec;
    let templates = [&producers.pod_template, &aggregators.pod_template, &repair.pod_template];
    let variables = templates.into_iter().flat_map(|template| &template.env);
    let endpoints = variables.filter(|variable| TRACES_ENDPOINTS.contains(&variable.name.as_str()));
    endpoints.filter_map(|variable| server_of(variable.value.as_deref()?))
}

fn bootstrap_servers(servers: &str) -> impl Iterator<Item = Server> {
    servers.split(',').filter_map(|server| {
        let (host, port) = server.rsplit_once(':')?;
        Some(Server { host: host.to_owned(), port: port.parse().ok()? })
    })
}

fn database_server(secrets: &SecretState) -> Option<Server> {
    match secrets {
        SecretState::Found { server, .. } => server.clone(),
        SecretState::Pending | SecretState::NotNeeded | SecretState::Missing(_) => None,
    }
}

/// The server of an exchange's address, which the rules of the spec let have one of these four schemes only, or a collector's.
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
        let urls =
            ["wss://a:9443/ws", "wss://a", "https://a/b", "ws://a", "http://[::1]:81", "http://$(NODE):82"];
        let ports = urls.map(|url| server_of(url).unwrap().port);
        assert_eq!(ports, [9443, 443, 443, 80, 81, 82]);
    }
}
