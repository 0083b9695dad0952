"""A real Prometheus on this machine that scrapes the pods of a namespace through the API server."""

import base64
import json
import shutil
import socket
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Callable

import demo
from cluster import Namespace
from steps import CHECKOUT, Failed, command, wait_until

CONFIGURATION = """
global: {{scrape_interval: 2s, scrape_timeout: 2s}}
scrape_configs:
- job_name: pods
  honor_labels: true
  scheme: https
  tls_config: {{ca_file: {folder}/ca.crt, cert_file: {folder}/client.crt, key_file: {folder}/client.key}}
  # Debian's Prometheus is built without the discovery of pods.
  http_sd_configs: [{{url: "http://{targets}/", refresh_interval: 3s}}]
"""


class Prometheus:
    def __init__(self, folder: Path, namespace: Namespace) -> None:
        self.folder = folder
        self.namespace = namespace
        self.address = ""
        self.server = ""
        self.process: subprocess.Popen | None = None
        self.discovery: HTTPServer | None = None

    def start(self) -> None:
        command(str(CHECKOUT / "e2e/prometheus-tools"))
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(mode=0o700, parents=True)
        self.write_credentials()
        self.discovery = serve_targets(self.targets)
        targets = f"127.0.0.1:{self.discovery.server_port}"
        configuration = CONFIGURATION.format(folder=self.folder, targets=targets)
        (self.folder / "prometheus.yml").write_text(configuration, encoding="utf-8")
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

    def targets(self) -> list[dict]:
        """The running pods that have a port called http, through the API server."""
        found = []
        for pod in self.namespace.items("pods"):
            ports = [port for container in pod["spec"]["containers"] for port in container.get("ports", []) if port.get("name") == "http"]
            if pod["status"]["phase"] == "Running" and ports:
                name = pod["metadata"]["name"]
                path = f"/api/v1/namespaces/{self.namespace.name}/pods/{name}:{ports[0]['containerPort']}/proxy/metrics"
                found.append({"targets": [self.server], "labels": {"__metrics_path__": path, "pod": name}})
        return found

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
        url = f"http://{self.address}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                result = json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise Failed(f"Prometheus refuses {expression}: {error.read().decode()}") from error
        if result["resultType"] != "vector":
            raise Failed(f"{expression} gives a {result['resultType']}, not a vector")
        return [(row["metric"], float(row["value"][1])) for row in result["result"]]

    def stop(self) -> None:
        if self.process:
            demo.stop(self.process)
        if self.discovery:
            self.discovery.shutdown()
        # It holds an administrator's key.
        shutil.rmtree(self.folder, ignore_errors=True)


def serve_targets(targets: Callable[[], list[dict]]) -> HTTPServer:
    """What Prometheus asks for what it is to scrape."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(targets()).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]
