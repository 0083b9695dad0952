"""The API server, by its own protocol: what kubectl would do a hundred times a minute costs too much."""

import base64
import http.client
import json
import os
import ssl
import subprocess
import urllib.error
import urllib.request
from typing import Iterator

from steps import Failed

CORE = "/api/v1/namespaces/{namespace}/{kind}"
OURS = "/apis/cryptopipeline.dev/v1alpha1/namespaces/{namespace}/{kind}"
GROUPS = {"pods": CORE, "configmaps": CORE, "secrets": CORE, "cryptopipelines": OURS}


class ApiServer:
    """One namespace of the control plane that KUBECONFIG_API leads to."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.kubeconfig = os.environ["KUBECONFIG_API"]
        config = json.loads(self.kubectl("config", "view", "--raw", "-o", "json"))
        cluster = config["clusters"][0]["cluster"]
        self.server = cluster["server"]
        self._token = config["users"][0]["user"]["token"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._tls = ssl.create_default_context(cadata=authority)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        line = ["kubectl", "--kubeconfig", self.kubeconfig, *arguments]
        done = subprocess.run(line, input=stdin, capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise Failed(f"kubectl {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def items(self, kind: str, selector: str) -> list[dict]:
        return self.call("GET", f"{self._path(kind)}?labelSelector={selector}")["items"]

    def get(self, kind: str, name: str) -> dict | None:
        """None where it is not there."""
        return self.call("GET", f"{self._path(kind)}/{name}")

    def create(self, kind: str, item: dict) -> None:
        self.call("POST", self._path(kind), item)

    def patch(self, kind: str, name: str, change: dict, subresource: str = "") -> None:
        """A merge patch; nothing happens where the object is gone."""
        self.call("PATCH", f"{self._path(kind)}/{name}{subresource}", change)

    def delete(self, kind: str, name: str) -> None:
        self.call("DELETE", f"{self._path(kind)}/{name}")

    def call(self, method: str, path: str, body: dict | None = None, accept: str = "application/json") -> dict | None:
        """What is answered; None where it is not there."""
        try:
            with self._open(method, path, body, accept) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise Failed(f"{method} {path}: {error.code} {error.read().decode()}") from error

    def text(self, path: str) -> str:
        """What does not answer in JSON, such as /metrics."""
        with self._open("GET", path) as answer:
            return answer.read().decode()

    def watch(self, path: str, limit_s: int = 60, accept: str = "application/json") -> Iterator[dict]:
        """The changes of what a path lists, until the server ends that, or says nothing for so long."""
        with self._open("GET", f"{path}{'&' if '?' in path else '?'}watch=1", accept=accept, limit_s=limit_s) as answer:
            for line in answer:
                yield json.loads(line)

    def _open(self, method: str, path: str, body: dict | None = None, accept: str = "*/*", limit_s: int = 10) -> http.client.HTTPResponse:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": kind, "Accept": accept}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.server + path, data=data, headers=headers, method=method)
        return urllib.request.urlopen(request, timeout=limit_s, context=self._tls)

    def _path(self, kind: str) -> str:
        return GROUPS[kind].format(namespace=self.namespace, kind=kind)
