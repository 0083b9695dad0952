//! Where the Services of the cluster lead that a pipeline names as its servers: a NetworkPolicy is held against the port of
//! the pod behind a Service, which may be another than the Service's own.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crds::CryptoPipeline;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ListParams;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Client};

use super::door::Door;
use super::reader::{Look, News, Pace, Readers};
use super::{Failure, Reading};

/// The label of an EndpointSlice with the name of its Service, which Kubernetes keeps.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";
/// Services are seldom moved.
const INTERVAL: Duration = Duration::from_secs(15);
/// How many are looked for at the same time, and how far apart where there are very many.
const AT_ONCE: usize = 8;
const SPACING: Duration = Duration::from_millis(50);

/// The Services that pipelines name.
pub struct Services {
    client: Client,
    door: Arc<Door>,
    ports: Readers<ServiceKey, ServiceLook>,
}

/// A Service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServiceKey {
    namespace: String,
    name: String,
}

impl ServiceKey {
    /// The Service that a host's name would be, for a pod of `namespace`. Not everything that looks like one is one.
    #[must_use]
    pub fn of_host(host: &str, namespace: &str) -> Option<Self> {
        if host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok() {
            return None;
        }
        let labels: Vec<&str> = host.trim_end_matches('.').split('.').collect();
        let service = labels.iter().position(|label| *label == "svc");
        let (name, namespace) = match (service, labels.as_slice()) {
            // A pod of a headless Service has its own name before it.
            (Some(at), labels) if at >= 2 => (labels[at - 2], labels[at - 1]),
            (None, [name]) => (*name, namespace),
            (None, [name, namespace]) => (*name, *namespace),
            _ => return None,
        };
        Some(Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }
}

impl Services {
    /// Knows none yet.
    #[must_use]
    pub fn new(client: Client, news: News) -> Self {
        let door = Arc::new(Door::new(AT_ONCE, SPACING));
        Self { client, door, ports: Readers::new(news, Pace { interval: INTERVAL, ..Pace::default() }) }
    }

    /// The ports of whatever is behind a Service; none where there is no such Service, or this operator may not look.
    pub fn ports(&self, key: &ServiceKey, asker: &ObjectRef<CryptoPipeline>) -> Reading<BTreeSet<u16>> {
        self.ports.read(key, &self.door, asker, || ServiceLook {
            slices: Api::namespaced(self.client.clone(), &key.namespace),
            of_service: ListParams::default().labels(&format!("{SERVICE_LABEL}={}", key.name)),
            key: key.clone(),
            last: None,
        })
    }
}

struct ServiceLook {
    slices: Api<EndpointSlice>,
    of_service: ListParams,
    key: ServiceKey,
    /// What was last found behind it.
    last: Option<BTreeSet<u16>>,
}

impl Look for ServiceLook {
    type Seen = BTreeSet<u16>;

    async fn look(&mut self) -> Result<BTreeSet<u16>, Failure> {
        match self.slices.list(&self.of_service).await {
            Ok(slices) => {
                let ports = slices.items.into_iter().flat_map(|slice| slice.ports.unwrap_or_default());
                let ports: BTreeSet<u16> = ports.filter_map(|port| u16::try_from(port.port?).ok()).collect();
                // While its pods are away nobody says by which ports they will be back.
                if !ports.is_empty() || self.last.is_none() {
                    self.last = Some(ports);
                }
                Ok(self.last.clone().unwrap_or_default())
            }
            // Another namespace than those that it was installed for.
            Err(kube::Error::Api(refusal)) if refusal.is_forbidden() => {
                if self.last.is_none() {
                    let ServiceKey { namespace, name } = &self.key;
                    tracing::warn!(
                        namespace,
                        name,
                        "may not be looked behind: if its pods answer at another port, name that in networkPolicy.egress"
                    );
                }
                Ok(self.last.get_or_insert_default().clone())
            }
            Err(error) => Err(Failure { message: error.to_string(), is_transient: true }),
        }
    }

    fn is_news(before: &BTreeSet<u16>, after: &BTreeSet<u16>) -> bool {
        before != after
    }

    async fn close(self) {}
}

#[cfg(test)]
mod tests {
    use super::ServiceKey;

    #[test]
    fn a_host_that_may_be_a_service_is_looked_up_as_one() {
        let service =
            |host| ServiceKey::of_host(host, "trading").map(|key| format!("{}/{}", key.namespace, key.name));
        for (host, expected) in [
            ("kafka", Some("trading/kafka")),
            ("kafka.brokers", Some("brokers/kafka")),
            ("kafka.brokers.svc", Some("brokers/kafka")),
            ("kafka.brokers.svc.cluster.local.", Some("brokers/kafka")),
            ("kafka-0.kafka-brokers.brokers.svc", Some("brokers/kafka-brokers")),
            ("stream.binance.com", None),
            ("svc.example.com", None),
            ("10.1.2.3", None),
            ("::1", None),
            ("[::1]", None),
        ] {
            assert_eq!(service(host).as_deref(), expected, "{host}");
        }
    }
}
