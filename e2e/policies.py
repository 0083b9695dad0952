#!/usr/bin/env python3
"""What NetworkPolicies mean on the testbed's cluster, by real connections: each kind of rule lets some through and blocks others.

Needs the testbed (eval "$(testbed/up kind)"):  policies.py
"""

import json
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from cluster import Namespace, is_ready, restarts, use_testbed
from policy_probe import (
    CONNECT,
    CONNECTED,
    NO_ANSWER,
    SERVER_PORT,
    UNRESOLVED,
    address_of,
    attempt,
    client_pod,
    enforces_policies,
    outcome,
    policy,
    selecting,
    server_pod,
)
from steps import Failed, Test, wait_until

POLICIES, OTHER = Namespace("policies"), Namespace("policies-other")
kubectl = POLICIES.kubectl
CLIENTS = {"friend": POLICIES, "stranger": POLICIES, "visitor": OTHER}
DNS = {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}
# Of PostgreSQL's protocol: does the server want TLS? One byte answers.
QUESTION = r"\0\0\0\10\4\322\26\57"


def main() -> int:
    use_testbed()
    return PoliciesTest().verdict("NetworkPolicies on kind")


class PoliciesTest(Test):
    """One run."""

    def __init__(self) -> None:
        super().__init__()
        self.host = os.environ["TESTBED_HOST_FOR_PODS"]
        self.listener = socket.create_server((self.host, 0))
        self.targets: dict[str, tuple[str, int]] = {"host": (self.host, self.listener.getsockname()[1])}
        self.api_server = ""
        self.ready_since = ""

    def run(self) -> None:
        self.step("the cluster enforces NetworkPolicies", self.enforced)
        self.step("a pod that listens, and pods that connect", self.wait_for_pods)
        self.step("without a policy everything is reached", self.everything_is_reached)
        self.step("ingress by podSelector", self.ingress_by_pod)
        self.step("ingress by namespaceSelector", self.ingress_by_namespace)
        self.step("ingress by a port's number, and by its name", self.ingress_by_port)
        self.step("egress by podSelector, to a Service too", self.egress_by_pod)
        self.step("egress by ipBlock, to a server outside of the cluster", self.egress_to_host)
        self.step("egress by ipBlock, to the API server on the node", self.egress_to_node)
        self.step("names are asked for by egress too", self.egress_to_dns)
        self.step("what is connected stays so when a policy forbids it", self.connected_stays)
        self.step("a policy holds for what a pod does first", self.first_connection)
        self.step("the kubelet's probes always came through", self.probed)
        self.step("the namespaces go", lambda: self.delete_namespaces("--wait=false"))

    def enforced(self) -> None:
        # They start while the probe's do.
        self.create_pods()
        if not enforces_policies():
            raise Failed("it stores them, and lets everything through")

    def create_pods(self) -> None:
        # What an earlier run left, or is still leaving.
        self.delete_namespaces("--ignore-not-found", "--timeout=120s")
        for namespace in (POLICIES, OTHER):
            labels = {"kubernetes.io/metadata.name": namespace.name, "team": namespace.name}
            namespace.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace.name, "labels": labels}}])
        port = {"port": SERVER_PORT, "targetPort": "sql"}
        spec = {"selector": {"app": "server"}, "ports": [port]}
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "server"}, "spec": spec}
        POLICIES.apply([server_pod("server", {"app": "server"}), service])
        for client, namespace in CLIENTS.items():
            namespace.apply([client_pod(client, {"app": client})])

    def wait_for_pods(self) -> None:
        for namespace in (POLICIES, OTHER):
            namespace.kubectl("wait", "--for=condition=Ready", "pods", "--all", "--timeout=60s")
        self.ready_since = ready_since(self.server())
        kubernetes = json.loads(kubectl("get", "service", "kubernetes", "-n", "default", "-o", "json"))["spec"]
        endpoints = json.loads(kubectl("get", "endpointslice", "kubernetes", "-n", "default", "-o", "json"))["endpoints"]
        self.api_server = endpoints[0]["addresses"][0]
        self.targets |= {
            "server": (address_of(POLICIES, "server"), SERVER_PORT),
            "service": (json.loads(kubectl("get", "service", "server", "-o", "json"))["spec"]["clusterIP"], SERVER_PORT),
            "name": (f"server.{POLICIES.name}.svc.cluster.local.", SERVER_PORT),
            "api": (kubernetes["clusterIP"], 443),
        }

    def everything_is_reached(self) -> None:
        self.expect({(client, target): CONNECTED for client in CLIENTS for target in self.targets})

    def ingress_by_pod(self) -> None:
        self.while_policy(
            selecting("server", ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "friend"}}}]}]),
            {("friend", "server"): CONNECTED, ("friend", "name"): CONNECTED, ("stranger", "server"): NO_ANSWER, ("visitor", "name"): NO_ANSWER},
        )

    def ingress_by_namespace(self) -> None:
        self.while_policy(
            selecting("server", ingress=[{"from": [{"namespaceSelector": {"matchLabels": {"team": OTHER.name}}}]}]),
            {("visitor", "server"): CONNECTED, ("friend", "server"): NO_ANSWER, ("friend", "host"): CONNECTED},
        )

    def ingress_by_port(self) -> None:
        for ports, found in (([SERVER_PORT], CONNECTED), (["sql"], CONNECTED), ([SERVER_PORT + 1, "metrics"], NO_ANSWER)):
            allowed = [{"ports": [{"port": port} for port in ports]}]
            self.while_policy(selecting("server", ingress=allowed), {("friend", "server"): found, ("visitor", "service"): found})

    def egress_by_pod(self) -> None:
        self.while_policy(
            selecting("friend", egress=[{"to": [{"podSelector": {"matchLabels": {"app": "server"}}}]}]),
            {("friend", "server"): CONNECTED, ("friend", "service"): CONNECTED, ("friend", "host"): NO_ANSWER, ("stranger", "host"): CONNECTED},
        )

    def egress_to_host(self) -> None:
        _, port = self.targets["host"]
        block = {"cidr": f"{self.host}/32"}
        self.while_policy(
            selecting("friend", egress=[{"to": [{"ipBlock": block}], "ports": [{"port": port}]}]),
            {("friend", "host"): CONNECTED, ("friend", "server"): NO_ANSWER},
        )
        self.while_policy(
            selecting("friend", egress=[{"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": [block["cidr"]]}}]}]),
            {("friend", "host"): NO_ANSWER, ("friend", "server"): CONNECTED, ("friend", "name"): CONNECTED},
        )

    def egress_to_node(self) -> None:
        """Found by its Service, whose address no rule is about."""
        for address, found in ((self.api_server, CONNECTED), (self.host, NO_ANSWER)):
            to_address = {"to": [{"ipBlock": {"cidr": f"{address}/32"}}]}
            self.while_policy(selecting("friend", egress=[to_address]), {("friend", "api"): found, ("stranger", "api"): CONNECTED})

    def egress_to_dns(self) -> None:
        """Without it a name is not known; with it alone the name is, and nobody answers there."""
        to_server = {"to": [{"podSelector": {"matchLabels": {"app": "server"}}}]}
        self.while_policy(selecting("friend", egress=[to_server]), {("friend", "name"): UNRESOLVED, ("friend", "service"): CONNECTED})
        self.while_policy(selecting("friend", egress=[DNS]), {("friend", "name"): NO_ANSWER, ("stranger", "name"): CONNECTED})
        self.while_policy(selecting("friend", egress=[DNS, to_server]), {("friend", "name"): CONNECTED})

    def connected_stays(self) -> None:
        address, port = self.targets["server"]
        ask = f'exec 3<>/dev/tcp/{address}/{port}; echo open; read -r; printf "{QUESTION}" >&3; read -r -t 5 -N 1 -u 3 answer; echo "$answer"'
        line = ["kubectl", "--namespace", POLICIES.name, "exec", "--stdin", "friend", "--", "bash", "-c", ask]
        with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as connected:
            if connected.stdout.readline() != "open\n":
                raise Failed("the server is not reached")
            self.while_policy(selecting("server", ingress=[]), {("friend", "server"): NO_ANSWER}, lambda: self.answers(connected))

    def answers(self, connected: subprocess.Popen) -> None:
        told, _ = connected.communicate("now\n", timeout=30)
        if told not in ("N\n", "S\n"):
            raise Failed(f"the server's answer is {told!r}")

    def first_connection(self) -> None:
        """Before the API server knows a new pod's address."""
        address, port = self.targets["server"]
        newcomer = client_pod("newcomer", {"app": "friend"}, f"answer=$(bash -c '{CONNECT}' {address} {port}); echo \"first: $answer\"")

        def its_first_one() -> None:
            POLICIES.apply([newcomer])
            wait_until("the new pod has tried", 30, lambda: "first:" in self.log_of("newcomer"))
            found = outcome(self.log_of("newcomer").removeprefix("first:"))
            if found != NO_ANSWER:
                raise Failed(f"the new pod's first connection: {found}")

        self.while_policy(selecting("friend", egress=[]), {("friend", "server"): NO_ANSWER}, its_first_one)

    def log_of(self, pod: str) -> str:
        """Empty while the pod has not started."""
        done = subprocess.run(["kubectl", "--namespace", POLICIES.name, "logs", pod], capture_output=True, text=True, timeout=60)
        return done.stdout

    def probed(self) -> None:
        """The server's ingress was denied in between for longer than its probes may fail."""
        server = self.server()
        if not is_ready(server) or restarts(server) or ready_since(server) != self.ready_since:
            raise Failed(f"the server was taken for dead: {server['status']}")

    def server(self) -> dict:
        return json.loads(kubectl("get", "pod", "server", "-o", "json"))

    def while_policy(self, spec: dict, expected: dict[tuple[str, str], str], then=lambda: None) -> None:
        """What is expected is found while the policy is there, and everything is reached again when it is gone."""
        POLICIES.apply([policy("tried", spec)])
        self.expect(expected)
        then()
        kubectl("delete", "networkpolicy", "tried")
        self.expect(dict.fromkeys(expected, CONNECTED))

    def expect(self, expected: dict[tuple[str, str], str]) -> None:
        """In the end: nothing says when a policy is in force."""
        found: dict[tuple[str, str], str] = {}

        def is_so() -> bool:
            with ThreadPoolExecutor() as pool:
                found.update(zip(expected, pool.map(self.attempt, expected)))
            return found == expected

        try:
            wait_until("", 20, is_so)
        except Failed:
            wrong = [(pair, wished) for pair, wished in expected.items() if found[pair] != wished]
            raise Failed("; ".join(f"{' to '.join(pair)}: {found[pair]}, not {wished}" for pair, wished in wrong)) from None

    def attempt(self, pair: tuple[str, str]) -> str:
        client, target = pair
        return attempt(CLIENTS[client], client, *self.targets[target])

    def delete_namespaces(self, *arguments: str) -> None:
        kubectl("delete", "namespace", POLICIES.name, OTHER.name, *arguments)

    def show_what_happened(self) -> None:
        POLICIES.show_what_happened()

    def clean_up(self) -> None:
        self.listener.close()


def ready_since(pod: dict) -> str:
    return next(item["lastTransitionTime"] for item in pod["status"]["conditions"] if item["type"] == "Ready")


if __name__ == "__main__":
    sys.exit(main())
