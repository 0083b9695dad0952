"""Whether the testbed's cluster enforces NetworkPolicies, and pods that find out what reaches what."""

import secrets
import time

from cluster import Namespace
from steps import CHECKOUT, command, wait_until

# What becomes of an attempt to connect.
CONNECTED, REFUSED, UNRESOLVED, NO_ANSWER = "connected", "refused", "name not resolved", "no answer"
SERVER_PORT = 5432
# In bash alone, as the image has little else. An attempt without an answer would go on for two minutes.
CONNECT = 'read -r -t 2 answer < <({ exec 3<>"/dev/tcp/$0/$1"; } 2>&1 && echo connected); kill $! 2>/dev/null; echo "$answer"'


def enforces_policies() -> bool:
    """Whether a policy that denies everything does so, for ingress and for egress, in a namespace of its own. A test of blocking
    is to be skipped by name where it does not."""
    probe = Namespace(f"policy-probe-{secrets.token_hex(3)}")
    probe.kubectl("create", "namespace", probe.name)
    try:
        probe.apply([server_pod("server", {"app": "server"}), client_pod("client", {"app": "client"})])
        probe.kubectl("wait", "--for=condition=Ready", "pods", "--all", "--timeout=60s")
        address = address_of(probe, "server")

        def is_connected() -> bool:
            return attempt(probe, "client", address, SERVER_PORT) == CONNECTED

        def is_blocked_by(spec: dict) -> bool:
            wait_until("the probe's client reaches its server", 20, is_connected)
            probe.apply([policy("deny", spec)])
            # None says when a policy is in force.
            deadline = time.monotonic() + 10
            while is_connected():
                if time.monotonic() > deadline:
                    return False
            probe.kubectl("delete", "networkpolicy", "deny")
            return True

        return is_blocked_by(selecting("server", ingress=[])) and is_blocked_by(selecting("client", egress=[]))
    finally:
        probe.kubectl("delete", "namespace", probe.name, "--wait=false")


def policy(name: str, spec: dict) -> dict:
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name}, "spec": spec}


def selecting(app: str, ingress: list[dict] | None = None, egress: list[dict] | None = None) -> dict:
    """What a policy says that lets nothing but this in, or out, of the pods labelled so."""
    rules = {"Ingress": ingress, "Egress": egress}
    given = {name: value for name, value in rules.items() if value is not None}
    return {"podSelector": {"matchLabels": {"app": app}}, "policyTypes": list(given)} | {name.lower(): value for name, value in given.items()}


def server_pod(name: str, labels: dict[str, str]) -> dict:
    """Listens on SERVER_PORT, named sql, and asks the kubelet to see to it every second."""
    probe = {"tcpSocket": {"port": "sql"}, "periodSeconds": 1}
    container = {
        "env": [{"name": "POSTGRES_PASSWORD", "value": "unused"}],
        "ports": [{"name": "sql", "containerPort": SERVER_PORT}],
        "startupProbe": probe | {"failureThreshold": 60},
        "readinessProbe": probe | {"failureThreshold": 1},
        "livenessProbe": probe,
    }
    return pod(name, labels, container)


def client_pod(name: str, labels: dict[str, str], script: str = "") -> dict:
    """Runs a script of bash and then does nothing, until it is told to connect."""
    return pod(name, labels, {"command": ["bash", "-c", f"{script}\ncat"], "stdin": True})


def pod(name: str, labels: dict[str, str], container: dict) -> dict:
    """Of an image that the testbed has for the chart's demo."""
    # The image's own user: PostgreSQL serves nobody as root, and some namespaces take no pod that runs as it.
    user = {"runAsNonRoot": True, "runAsUser": 999, "seccompProfile": {"type": "RuntimeDefault"}}
    rights = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    _, postgres = command(str(CHECKOUT / "testbed/demo-images/build"), "names").split()
    spec = {
        "terminationGracePeriodSeconds": 1,
        "securityContext": user,
        # Else a name that cannot be asked for takes longer than an attempt to connect.
        "dnsConfig": {"options": [{"name": "timeout", "value": "1"}, {"name": "attempts", "value": "1"}]},
        "containers": [{"name": "main", "image": postgres, "imagePullPolicy": "IfNotPresent", "securityContext": rights, **container}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


def address_of(namespace: Namespace, pod_name: str) -> str:
    return namespace.kubectl("get", "pod", pod_name, "-o", "jsonpath={.status.podIP}")


def attempt(namespace: Namespace, client: str, host: str, port: int) -> str:
    """To connect from a client pod, within two seconds."""
    return outcome(namespace.kubectl("exec", client, "--", "bash", "-c", CONNECT, host, str(port)))


def outcome(told: str) -> str:
    """What bash tells, in a word."""
    for word, found in (("connected", CONNECTED), ("refused", REFUSED), ("resolution", UNRESOLVED), ("not known", UNRESOLVED)):
        if word in told:
            return found
    return told.strip() or NO_ANSWER
