"""A real Prometheus on this machine that scrapes, through the API server, those pods of a namespace that the chart's ServiceMonitor
and PodMonitor choose, as they say, and evaluates the chart's alerts."""

import base64
import json
import re
import shutil
import socket
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Callable

import demo
import monitoring
from cluster import Namespace
from manifests import documents, render
from steps import CHECKOUT, Failed, command, wait_until

# What the chart's monitors call in their way.
RELABELING = {"sourceLabels": "source_labels", "targetLabel": "target_label", "regex": "regex"}


class Prometheus:
    def __init__(self, folder: Path, namespace: Namespace, values: list[str] | None = None, fires_after: str | None = None) -> None:
        """`values` are more arguments for helm, which renders the rules; an alert fires after its own time, or after that one."""
        self.folder = folder
        self.namespace = namespace
        self.values = values or []
        self.fires_after = fires_after
        self.address = ""
        self.server = ""
        self.process: subprocess.Popen | None = None
        self.discovery: ThreadingHTTPServer | None = None

    def start(self) -> None:
        command(str(CHECKOUT / "e2e/prometheus-tools"))
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(mode=0o700, parents=True)
        self.write_credentials()
        monitors = rendered_monitors(self.folder / "monitors")
        self.discovery = serve_targets({kind: partial(self.targets, monitor) for kind, monitor in monitors.items()})
        rules = monitoring.rendered_rules(self.folder / "rules", *self.values)
        for rule in (rule for group in rules["groups"] for rule in group["rules"] if self.fires_after and "for" in rule):
            rule["for"] = self.fires_after
        (self.folder / "rules.json").write_text(json.dumps(rules), encoding="utf-8")
        configuration = {
            # Faster than the chart's monitors: a test does not live for long.
            "global": {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "2s"},
            "rule_files": [str(self.folder / "rules.json")],
            "scrape_configs": [self.job(kind, monitor) for kind, monitor in monitors.items()],
        }
        (self.folder / "prometheus.yml").write_text(json.dumps(configuration), encoding="utf-8")
        self.address = f"127.0.0.1:{free_port()}"
        arguments = [f"--config.file={self.folder}/prometheus.yml", f"--storage.tsdb.path={self.folder}/data", f"--web.listen-address={self.address}"]
        with (self.folder / "prometheus.log").open("wb") as file:
            self.process = subprocess.Popen(["prometheus", *arguments], stdout=file, stderr=subprocess.STDOUT)
        wait_until("Prometheus is ready", 60, self.is_ready)

    def write_credentials(self) -> None:
        """What kubectl uses, as files."""
        read = json.loads(command("kubectl", "config", "view", "--raw", "--minify", "--flatten", "-o", "json"))
        cluster, user = read["clusters"][0]["cluster"], read["users"][0]["user"]
        for name, data in (("ca.crt", cluster["certificate-authority-data"]), ("client.crt", user["client-certificate-data"]), ("client.key", user["client-key-data"])):
            (self.folder / name).write_bytes(base64.b64decode(data))
        self.server = urllib.parse.urlsplit(cluster["server"]).netloc

    def job(self, kind: str, monitor: dict) -> dict:
        """What the Prometheus Operator makes of a monitor; its discovery is ours, since Debian's Prometheus has none for pods."""
        endpoint = endpoint_of(monitor)
        return {
            "job_name": kind,
            "honor_labels": endpoint.get("honorLabels", False),
            "scheme": "https",
            "tls_config": {name: str(self.folder / f"{file}") for name, file in (("ca_file", "ca.crt"), ("cert_file", "client.crt"), ("key_file", "client.key"))},
            "http_sd_configs": [{"url": f"http://127.0.0.1:{self.discovery.server_port}/{kind}", "refresh_interval": "5s"}],
            "relabel_configs": [{RELABELING[name]: value for name, value in rule.items()} for rule in endpoint.get("relabelings", [])],
        }

    def targets(self, monitor: dict) -> list[dict]:
        """The running pods that a monitor chooses, at the port that it names."""
        port = endpoint_of(monitor)["port"]
        selector = monitor["spec"]["selector"]["matchLabels"]
        if monitor["kind"] == "PodMonitor":
            return [target for pod in self.namespace.items("pods", as_selector(selector)) for target in self.targets_of(pod, port)]
        found = []
        for service in self.namespace.items("services", as_selector(selector)):
            (name,) = [own["targetPort"] for own in service["spec"]["ports"] if own["name"] == port]
            pods = self.namespace.items("pods", as_selector(service["spec"]["selector"]))
            found += [target for pod in pods for target in self.targets_of(pod, name)]
        return found

    def targets_of(self, pod: dict, port: str) -> list[dict]:
        if pod["status"]["phase"] != "Running":
            return []
        name, namespace = pod["metadata"]["name"], self.namespace.name
        numbers = [own["containerPort"] for container in pod["spec"]["containers"] for own in container.get("ports", []) if own.get("name") == port]
        labels = {f"__meta_kubernetes_pod_label_{re.sub('[^a-zA-Z0-9_]', '_', key)}": value for key, value in pod["metadata"]["labels"].items()}
        labels |= {"namespace": namespace, "pod": name}
        return [
            {"targets": [self.server], "labels": labels | {"__metrics_path__": f"/api/v1/namespaces/{namespace}/pods/{name}:{number}/proxy/metrics"}}
            for number in numbers
        ]

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=5):
                return True
        except OSError:
            if self.process.poll() is not None:
                raise Failed((self.folder / "prometheus.log").read_text(encoding="utf-8")) from None
            return False

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """The labels and the value of each series that answers now."""
        result = self.ask("query", query=expression)
        if result["resultType"] != "vector":
            raise Failed(f"{expression} gives a {result['resultType']}, not a vector")
        return [(row["metric"], float(row["value"][1])) for row in result["result"]]

    def ask(self, what: str, **parameters: str) -> dict | list:
        """What its API answers."""
        url = f"http://{self.address}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise Failed(f"Prometheus refuses {what} {parameters}: {error.read().decode()}") from error

    def stop(self) -> None:
        if self.process:
            demo.stop(self.process)
        if self.discovery:
            self.discovery.shutdown()
        # It holds an administrator's key.
        shutil.rmtree(self.folder, ignore_errors=True)


def rendered_monitors(folder: Path) -> dict[str, dict]:
    """The chart's ServiceMonitor and PodMonitor, by kind."""
    rendered = documents(render("--set", "monitoring.monitors.enabled=true", "--show-only", "templates/monitoring/monitors.yaml"), folder)
    return {item["kind"]: item for item in rendered}


def endpoint_of(monitor: dict) -> dict:
    (endpoint,) = monitor["spec"]["podMetricsEndpoints" if monitor["kind"] == "PodMonitor" else "endpoints"]
    return endpoint


def as_selector(labels: dict[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in labels.items())


def serve_targets(targets: dict[str, Callable[[], list[dict]]]) -> ThreadingHTTPServer:
    """What Prometheus asks for what it is to scrape, a path for each job."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(targets[self.path.strip("/")]()).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]
