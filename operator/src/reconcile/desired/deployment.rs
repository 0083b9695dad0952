//! The pods of a role: one Deployment for each source, one for the aggregators and one for the repairer. They fulfil the restricted
//! pod security standard and are replaced only when their settings, their credentials or their image change.

use std::collections::BTreeMap;

use crds::pod_template::PodTemplate;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EmptyDirVolumeSource, HTTPGetAction,
    PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ResourceRequirements, SeccompProfile,
    SecurityContext, TopologySpreadConstraint, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::WorkerImage;
use super::checksum::checksum;
use super::config_map::SETTINGS_FILE;
use super::names::{
    Owner, Role, owned_metadata, role_labels, role_name, selector_labels, service_account_name,
};
use super::server_secrets::ServerSecrets;
use crate::reconcile::plan::{ProducerPlan, RepairerPlan, WorkloadsPlan};

const SETTINGS_FOLDER: &str = "/etc/cryptopipeline";
/// The volume for files that are kept for a while.
const SCRATCH: &str = "scratch";
const SETTINGS_CHECKSUM: &str = "cryptopipeline.dev/settings-checksum";
/// The container of a worker's pod that the worker runs in; sidecars have others.
pub const WORKER_CONTAINER: &str = "worker";
/// Where the workers answer `/livez`, `/readyz`, `/metrics` and `/status`.
pub const WORKER_PORT: i32 = 8080;
pub(crate) const WORKER_PORT_NAME: &str = "http";
/// The user that the image is made for.
const USER: i64 = 65_532;
/// A drain is a flush or two; librdkafka leaves its group within seconds.
const DRAIN_SECONDS: i64 = 30;

/// What tells one role's pods from another's.
struct RolePods<'a> {
    role: Role<'a>,
    command: &'static str,
    replicas: i32,
    strategy: RollingUpdateDeployment,
    template: &'a PodTemplate,
    resources: ResourceRequirements,
    server_secrets: ServerSecrets<'a>,
    /// The settings file's text: another one replaces the pods.
    settings: &'a str,
    /// Whether they keep files for a while: their root is read-only.
    scratch: bool,
}

pub(super) fn producer_deployment(
    owner: &Owner<'_>,
    role: Role<'_>,
    workloads: &WorkloadsPlan,
    producer: &ProducerPlan,
    settings: &str,
    image: &WorkerImage,
) -> Deployment {
    let pods = RolePods {
        role,
        command: "produce",
        replicas: producer.replicas,
        // The new one reads before the old one stops; what both bring counts once.
        strategy: rolling_update(1, 0),
        template: &producer.pod_template,
        resources: resources("50m", "48Mi", "256Mi"),
        server_secrets: ServerSecrets::of_kafka(workloads),
        settings,
        scratch: false,
    };
    deployment(owner, pods, image)
}

pub(super) fn aggregator_deployment(
    owner: &Owner<'_>,
    role: Role<'_>,
    workloads: &WorkloadsPlan,
    settings: &str,
    image: &WorkerImage,
) -> Deployment {
    let pods = RolePods {
        role,
        command: "aggregate",
        replicas: workloads.aggregator.replicas,
        // One more than there are partitions would be idle; one less leaves its partitions to the others meanwhile.
        strategy: rolling_update(0, 1),
        template: &workloads.aggregator.pod_template,
        resources: resources("100m", "96Mi", "512Mi"),
        server_secrets: ServerSecrets::of_kafka_and_database(workloads),
        settings,
        scratch: false,
    };
    deployment(owner, pods, image)
}

pub(super) fn repairer_deployment(
    owner: &Owner<'_>,
    role: Role<'_>,
    workloads: &WorkloadsPlan,
    repairer: &RepairerPlan,
    settings: &str,
    image: &WorkerImage,
) -> Deployment {
    let pods = RolePods {
        role,
        command: "repair",
        replicas: repairer.replicas,
        // Two would ask for the same trades, and share one limit of the exchange.
        strategy: rolling_update(0, 1),
        template: &repairer.pod_template,
        resources: resources("20m", "48Mi", "256Mi"),
        server_secrets: ServerSecrets::of_kafka_and_database(workloads),
        settings,
        // A daily file is verified as a whole before anything of it is used.
        scratch: repairer.settings.history.is_some(),
    };
    deployment(owner, pods, image)
}

fn deployment(owner: &Owner<'_>, pods: RolePods<'_>, image: &WorkerImage) -> Deployment {
    let name = role_name(owner.id, pods.role);
    Deployment {
        metadata: owned_metadata(owner, name.clone(), role_labels(owner.id, pods.role)),
        spec: Some(DeploymentSpec {
            replicas: Some(pods.replicas),
            revision_history_limit: Some(3),
            selector: LabelSelector {
                match_labels: Some(selector_labels(owner.id, pods.role)),
                ..LabelSelector::default()
            },
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(pods.strategy.clone()),
            }),
            template: pod_template(owner, &name, pods, image),
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

fn pod_template(owner: &Owner<'_>, name: &str, pods: RolePods<'_>, image: &WorkerImage) -> PodTemplateSpec {
    let RolePods { template, .. } = pods;
    // The operator's own come last: they select and roll the pods.
    let mut labels = template.labels.clone();
    labels.extend(role_labels(owner.id, pods.role));
    let mut annotations = template.annotations.clone();
    annotations.insert(SETTINGS_CHECKSUM.to_owned(), checksum(pods.settings));
    annotations.extend(pods.server_secrets.checksums());
    let settings_volume = Volume {
        name: "settings".to_owned(),
        config_map: Some(ConfigMapVolumeSource { name: name.to_owned(), ..ConfigMapVolumeSource::default() }),
        ..Volume::default()
    };
    let scratch_volume = pods.scratch.then(|| Volume {
        name: SCRATCH.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    });
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            service_account_name: Some(service_account_name(owner.id)),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            termination_grace_period_seconds: Some(DRAIN_SECONDS),
            security_context: Some(pod_security()),
            node_selector: Some(template.node_selector.clone()).filter(|selector| !selector.is_empty()),
            tolerations: Some(template.tolerations.clone()).filter(|tolerations| !tolerations.is_empty()),
            affinity: template.affinity.clone(),
            topology_spread_constraints: Some(vec![on_different_nodes(owner, pods.role)]),
            image_pull_secrets: Some(template.image_pull_secrets.clone())
                .filter(|secrets| !secrets.is_empty()),
            volumes: Some(
                std::iter::once(settings_volume)
                    .chain(pods.server_secrets.volumes())
                    .chain(scratch_volume)
                    .collect(),
            ),
            containers: vec![container(pods, image)],
            ..PodSpec::default()
        }),
    }
}

/// Two producers on one node would both miss what is traded while it is away. Where there is one node only, that is no
/// reason to run one pod only. Pods of an older template do not count: they are about to go.
fn on_different_nodes(owner: &Owner<'_>, role: Role<'_>) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: "kubernetes.io/hostname".to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(LabelSelector {
            match_labels: Some(selector_labels(owner.id, role)),
            ..LabelSelector::default()
        }),
        match_label_keys: Some(vec!["pod-template-hash".to_owned()]),
        ..TopologySpreadConstraint::default()
    }
}

/// The settings file in a worker's pod.
#[must_use]
pub fn settings_path() -> String {
    format!("{SETTINGS_FOLDER}/{SETTINGS_FILE}")
}

fn container(pods: RolePods<'_>, image: &WorkerImage) -> Container {
    let args = [pods.command, "--settings", &settings_path(), "--listen", &format!("0.0.0.0:{WORKER_PORT}")];
    let scratch_mount = pods.scratch.then(|| mount(SCRATCH, "/tmp", false));
    let settings_mount = mount("settings", SETTINGS_FOLDER, true);
    let mut env = pods.server_secrets.env();
    env.extend(pods.template.env.clone());
    Container {
        name: WORKER_CONTAINER.to_owned(),
        image: Some(image.name.clone()),
        image_pull_policy: Some(image.pull_policy.clone()),
        command: Some(vec!["worker".to_owned()]),
        args: Some(args.map(str::to_owned).to_vec()),
        env: Some(env).filter(|env| !env.is_empty()),
        ports: Some(vec![ContainerPort {
            name: Some(WORKER_PORT_NAME.to_owned()),
            container_port: WORKER_PORT,
            ..ContainerPort::default()
        }]),
        liveness_probe: Some(probe("/livez", 10, 3)),
        readiness_probe: Some(probe("/readyz", 5, 2)),
        resources: Some(pods.template.resources.clone().unwrap_or(pods.resources)),
        security_context: Some(container_security()),
        volume_mounts: Some(
            std::iter::once(settings_mount)
                .chain(pods.server_secrets.mounts())
                .chain(scratch_mount)
                .collect(),
        ),
        ..Container::default()
    }
}

pub(super) fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

fn probe(path: &str, period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(WORKER_PORT_NAME.to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        failure_threshold: Some(failure_threshold),
        timeout_seconds: Some(3),
        ..Probe::default()
    }
}

fn pod_security() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
        ..PodSecurityContext::default()
    }
}

fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        read_only_root_filesystem: Some(true),
        ..SecurityContext::default()
    }
}

fn rolling_update(max_surge: i32, max_unavailable: i32) -> RollingUpdateDeployment {
    RollingUpdateDeployment {
        max_surge: Some(IntOrString::Int(max_surge)),
        max_unavailable: Some(IntOrString::Int(max_unavailable)),
    }
}

fn resources(cpu: &str, memory: &str, memory_limit: &str) -> ResourceRequirements {
    let quantity = |name: &str, value: &str| (name.to_owned(), Quantity(value.to_owned()));
    ResourceRequirements {
        requests: Some(BTreeMap::from([quantity("cpu", cpu), quantity("memory", memory)])),
        limits: Some(BTreeMap::from([quantity("memory", memory_limit)])),
        ..ResourceRequirements::default()
    }
}
