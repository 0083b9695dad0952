"""A namespace of the testbed's kind cluster, by kubectl."""

import json
import os
import subprocess
from pathlib import Path

from steps import CHECKOUT, Failed, command, wait_until

CHART = CHECKOUT / "charts/cryptopipeline"
DEFINITION = "cryptopipelines.cryptopipeline.dev"


def use_testbed() -> None:
    """kubectl and helm find the testbed's cluster."""
    os.environ["KUBECONFIG"] = os.environ["KUBECONFIG_KIND"]


def load_image() -> None:
    """The project's image onto the cluster's nodes."""
    command("kind", "load", "image-archive", str(CHECKOUT / "target/image/cryptopipeline.tar"))


class Namespace:
    def __init__(self, name: str) -> None:
        self.name = name

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return command("kubectl", "--namespace", self.name, *arguments, stdin=stdin)

    def items(self, kinds: str, selector: str = "") -> list[dict]:
        return json.loads(self.kubectl("get", kinds, "-l", selector, "-o", "json"))["items"]

    def apply(self, objects: list[dict]) -> None:
        self.kubectl("apply", "-f", "-", stdin="\n---\n".join(json.dumps(item) for item in objects))

    def conditions(self, pipeline: str) -> dict[str, dict]:
        """By type; empty while there are none."""
        status = json.loads(self.kubectl("get", "cpl", pipeline, "-o", "json")).get("status", {})
        return {condition["type"]: condition for condition in status.get("conditions", [])}

    def pods_of(self, pipeline: str, role: str) -> list[dict]:
        return self.items("pods", f"app.kubernetes.io/instance={pipeline},app.kubernetes.io/component={role}")

    def install_chart(self, *arguments: str, verb: str = "install", chart: Path = CHART) -> None:
        create = ["--create-namespace"] if verb == "install" else []
        command("helm", verb, "cryptopipeline", str(chart), "--namespace", self.name, *create, "--wait", "--timeout", "120s", *arguments)

    def test_chart(self) -> None:
        """By the chart's own test."""
        command("helm", "test", "cryptopipeline", "--namespace", self.name, "--timeout", "60s")

    def uninstall_chart(self) -> None:
        command("helm", "uninstall", "cryptopipeline", "--namespace", self.name, "--wait")

    def leave(self) -> None:
        """Chart, definition and namespace go. The chart leaves the definition behind on purpose: with it would go every
        pipeline."""
        self.uninstall_chart()
        self.kubectl("delete", "crd", DEFINITION, "--timeout=60s")
        self.kubectl("delete", "namespace", self.name, "--timeout=120s")

    def staying_pods(self, pipeline: str, role: str) -> list[dict]:
        """Those that are not going away."""
        return [pod for pod in self.pods_of(pipeline, role) if "deletionTimestamp" not in pod["metadata"]]

    def pod_names(self, pipeline: str, role: str) -> set[str]:
        """Of those that are not going away."""
        return {pod["metadata"]["name"] for pod in self.staying_pods(pipeline, role)}

    def ready_pod_names(self, pipeline: str, role: str) -> set[str]:
        return {pod["metadata"]["name"] for pod in self.staying_pods(pipeline, role) if is_ready(pod)}

    def nothing_is_repaired(self, pipeline: str) -> None:
        """By the repairer that runs."""
        repairers = self.pod_names(pipeline, "repairer")
        if not repairers:
            raise Failed("no repairer runs")
        statuses = [json.loads(self.kubectl("get", "--raw", f"/api/v1/namespaces/{self.name}/pods/{pod}:8080/proxy/status")) for pod in repairers]
        if repaired := sum(status["tradesRepaired"] for status in statuses):
            raise Failed(f"{repaired} trades had to be repaired")

    def nothing_restarted(self, selector: str = "") -> None:
        if restarted := [pod["metadata"]["name"] for pod in self.items("pods", selector) if restarts(pod) > 0]:
            raise Failed(f"restarted: {', '.join(restarted)}")

    def lead_to_testbed(self, simulator_port: int) -> None:
        """What the quickstart calls its broker, its exchange and its database are those of the testbed."""
        host, bootstrap_port = os.environ["TESTBED_HOST_FOR_PODS"], int(os.environ["KAFKA_BOOTSTRAP_PODS"].rpartition(":")[2])
        for name, port, target in (("kafka", 9092, bootstrap_port), ("exchange-sim", simulator_port, simulator_port)):
            self.apply(outside_service(name, port, host, target))
        self.apply([{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "postgres"}, "stringData": {"uri": os.environ["POSTGRES_URL_PODS"]}}])

    def wait_for_the_end_of(self, pipeline: str) -> None:
        """Until nothing is left of a pipeline that is deleted."""
        kinds, selector = "deployments,pods,configmaps,serviceaccounts", f"app.kubernetes.io/instance={pipeline}"
        wait_until(f"the objects of {pipeline} are gone", 60, lambda: self.items(kinds, selector) == [])

    def show_what_happened(self) -> None:
        """Logs, events, pods and pipelines, for whoever reads a failure: what says the most stands last, next to the failure."""
        shown = []
        for name in self._output("get pods -o name").split():
            shown += [f"logs {name} --all-containers --tail=60 --previous", f"logs {name} --all-containers --tail=60"]
        shown += ["get events --sort-by=.lastTimestamp", "get pods -o wide", "get cpl -o yaml"]
        for arguments in shown:
            output = self._output(arguments)
            # Most pods have no previous life.
            if not arguments.endswith("--previous") or "not found" not in output:
                print(f"--- kubectl -n {self.name} {arguments}\n{output}", flush=True)

    def _output(self, arguments: str) -> str:
        line = ["kubectl", "--namespace", self.name, *arguments.split()]
        done = subprocess.run(line, capture_output=True, text=True, timeout=60)
        return done.stdout + done.stderr


def outside_service(name: str, port: int, address: str, target_port: int) -> list[dict]:
    """A Service without pods, which leads to an address outside the cluster."""
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": [{"name": "main", "port": port, "targetPort": target_port}]}}
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"name": "main", "port": target_port, "protocol": "TCP"}],
    }
    return [service, endpoints]


def is_ready(pod: dict) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def restarts(pod: dict) -> int:
    return sum(container["restartCount"] for container in pod["status"].get("containerStatuses", []))
