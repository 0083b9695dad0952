"""Stands in for a kubelet: every pod of a pipeline becomes a process with a loopback address of its own.

The control plane of the testbed has a real API server and real controllers, which make pods of the operator's
Deployments, but no node. What a node does is done here: settings are written, environment variables resolved,
processes started, watched, started again when they end, and asked to leave when their pod is gone.
"""

import base64
import os
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path

from apiserver import ApiServer

from .background import Background

LOOK_S = 0.25
RESTART_AFTER_S = 0.5
LONGEST_DRAIN_S = 30
PORT = 8080
ROLE_LABEL = "app.kubernetes.io/component"
PIPELINE_LABEL = "app.kubernetes.io/instance"


@dataclass
class Pod:
    """A pod and its process."""

    name: str
    role: str
    address: str
    line: list[str]
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen | None = None
    ended_at: float = 0.0
    starts: int = 0
    # As its status says; None before it says anything.
    ready: bool | None = None
    # Changed by faults: what the process is started with the next time.
    extra_environment: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        with self.log.open("ab") as log:
            environment = os.environ | self.environment | self.extra_environment
            self.process = subprocess.Popen(self.line, stdout=log, stderr=subprocess.STDOUT, env=environment)
        self.starts += 1

    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def printed(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def partitions_had(self) -> set[int]:
        """Those that an aggregator has ever been given."""
        lists = re.findall(r"assigned partitions=\[([\d, ]+)\]", self.printed())
        return {int(partition) for listed in lists for partition in listed.split(",")}

    def says_it_is(self) -> datetime | None:
        """The time by its own clock, if it answers at all."""
        try:
            with urllib.request.urlopen(f"http://{self.address}:{PORT}/livez", timeout=2) as answer:
                return parsedate_to_datetime(answer.headers["Date"])
        except OSError:
            return None

    def answers_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.address}:{PORT}/readyz", timeout=2) as answer:
                return answer.status == 200
        except (OSError, urllib.error.URLError):
            return False


class Node(Background):
    """Runs the pods of one pipeline until it is stopped."""

    def __init__(self, api: ApiServer, pipeline: str, worker: Path, folder: Path, network: int, environment: dict[str, str], client_config: dict[str, str]) -> None:
        super().__init__()
        self.api = api
        self.pipeline = pipeline
        self.worker = worker
        self.folder = folder
        self.environment = environment
        self.client_config = client_config
        self.pods: dict[str, Pod] = {}
        self.leaving: list[Pod] = []
        self._network = network
        self._given = 0
        self._lock = threading.Lock()

    def end(self) -> None:
        """Ends all processes, as when the pods are deleted."""
        self.stop()
        _end([*self.pods.values(), *self.leaving])

    def end_writers(self) -> None:
        """Ends those who write to the topic, who first hand over what they have; the others go on."""
        self.stop()
        _end([pod for pod in [*self.pods.values(), *self.leaving] if pod.role != "aggregator"])

    def running(self, role: str) -> list[Pod]:
        with self._lock:
            return sorted((pod for pod in self.pods.values() if pod.role == role and pod.runs()), key=lambda pod: pod.name)

    def ready(self, role: str) -> list[Pod]:
        return [pod for pod in self.running(role) if pod.ready]

    def free_address(self) -> str:
        self._given += 1
        return f"127.{self._network // 250 + 10}.{self._network % 250}.{self._given}"

    def go_on(self) -> None:
        while not self._stop.wait(LOOK_S):
            self._look()

    def _look(self) -> None:
        wanted = {pod["metadata"]["name"]: pod for pod in self.api.items("pods", f"{PIPELINE_LABEL}={self.pipeline}")}
        with self._lock:
            for name in set(self.pods) - set(wanted):
                pod = self.pods.pop(name)
                _signal(pod, signal.SIGTERM)
                self.leaving.append(pod)
        for name, item in wanted.items():
            if name not in self.pods and "deletionTimestamp" not in item["metadata"]:
                pod = self._make(item)
                if pod is not None:
                    pod.start()
                    with self._lock:
                        self.pods[name] = pod
        for pod in list(self.pods.values()):
            self._care_for(pod)
        self.leaving = [pod for pod in self.leaving if pod.runs()]

    def _care_for(self, pod: Pod) -> None:
        if not pod.runs():
            if not pod.ended_at:
                pod.ended_at = time.monotonic()
            elif time.monotonic() - pod.ended_at > RESTART_AFTER_S:
                pod.ended_at = 0.0
                pod.start()
        ready = pod.runs() and pod.answers_ready()
        if ready != pod.ready:
            pod.ready = ready
            self.api.patch("pods", pod.name, _status(pod), "/status")

    def _make(self, item: dict) -> Pod | None:
        container = item["spec"]["containers"][0]
        name, role = item["metadata"]["name"], item["metadata"]["labels"][ROLE_LABEL]
        config_map = self.api.get("configmaps", item["spec"]["volumes"][0]["configMap"]["name"])
        if config_map is None:
            return None
        settings = self.folder / f"{name}.yaml"
        text = config_map["data"]["settings.yaml"]
        for setting, value in self.client_config.items():
            text = text.replace("kafka:\n", f"kafka:\n  clientConfig:\n    {setting}: {value}\n", 1)
        settings.write_text(text, encoding="utf-8")
        address = self.free_address()
        environment = dict(self.environment)
        for variable in container.get("env", []):
            environment[variable["name"]] = variable.get("value") or self._secret(variable["valueFrom"]["secretKeyRef"])
        line = [str(self.worker), container["args"][0], "--settings", str(settings), "--listen", f"{address}:{PORT}"]
        return Pod(name, role, address, line, environment, self.folder / f"{name}.log")

    def _secret(self, reference: dict) -> str:
        return base64.b64decode(self.api.get("secrets", reference["name"])["data"][reference["key"]]).decode()


def _status(pod: Pod) -> dict:
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    truth = "True" if pod.ready else "False"
    conditions = [{"type": kind, "status": truth, "lastTransitionTime": now} for kind in ("ContainersReady", "Ready")]
    return {"status": {"phase": "Running", "podIP": pod.address, "podIPs": [{"ip": pod.address}], "conditions": conditions}}


def _end(pods: list[Pod]) -> None:
    for pod in pods:
        _signal(pod, signal.SIGTERM)
    deadline = time.monotonic() + LONGEST_DRAIN_S
    for pod in pods:
        if pod.process is not None:
            try:
                pod.process.wait(timeout=max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _signal(pod, signal.SIGKILL)
                pod.process.wait()


def _signal(pod: Pod, number: int) -> None:
    if pod.runs():
        pod.process.send_signal(number)
