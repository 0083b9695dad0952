"""Very many CryptoPipelines: most of them live, some with addresses where nobody answers."""

import contextlib
import datetime
import json
import re
import socket
import subprocess
import threading
import time
import urllib.parse
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Iterator

from apiserver import ApiServer
from judge.postgres import Postgres
from steps import Failed, broker_tool, command

ONE_DEAD_IN = 20
# What is asked of the API server at the same time while the resources are applied.
HANDS = 4
PIPELINES = "/apis/cryptopipeline.dev/v1alpha1"
APPS = "/apis/apps/v1"
METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
DEPLOYMENTS = f"{APPS}/deployments?labelSelector=app.kubernetes.io/managed-by=cryptopipeline-operator"
# A producer, the aggregators, a repairer.
DEPLOYMENTS_EACH = 3
RIGHTS = ("clusterrole/cryptopipeline-operator", "clusterrolebinding/cryptopipeline-operator")
WRITES = {"POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"}
# Of these only the objects themselves are the operator's to write: their status is the controller manager's.
WRITTEN = {("apps", "deployments"), ("networking.k8s.io", "networkpolicies"), ("policy", "poddisruptionbudgets")} | {
    ("", kind) for kind in ("configmaps", "serviceaccounts", "secrets", "pods")
}


class DeadServers:
    """Addresses on this machine where nobody answers: by turns a port that refuses, and one that takes a connection and says nothing."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> "DeadServers":
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._sockets:
            one.close()

    def add(self) -> str:
        taken = socket.socket()
        taken.bind(("127.0.0.1", 0))
        if len(self._sockets) % 2:
            taken.listen(1024)
        self._sockets.append(taken)
        return f"127.0.0.1:{taken.getsockname()[1]}"


class Tables:
    """The testbed's database."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.port = urllib.parse.urlsplit(url).port
        self._postgres = Postgres(url, "public")

    def connections(self) -> int:
        """Of this project's programs."""
        return self._count("SELECT count(*) AS count FROM pg_stat_activity WHERE application_name = 'cryptopipeline'")

    def transactions(self) -> int:
        return self._count("SELECT xact_commit + xact_rollback AS count FROM pg_stat_database WHERE datname = current_database()")

    def check_schemas(self, schemas: list[str]) -> None:
        """That each is there and has an owner's table."""
        rows = self._postgres.query("SELECT nspname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE relname = 'owner'")
        must_hold("schemas", schemas, {row["nspname"] for row in rows})

    def drop(self, schemas: list[str]) -> None:
        script = "SET client_min_messages = warning;\n" + "".join(f"DROP SCHEMA IF EXISTS {schema} CASCADE;\n" for schema in schemas)
        line = ["psql", "--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", self.url]
        subprocess.run(line, input=script, check=True, capture_output=True, text=True, timeout=600)

    def close(self) -> None:
        self._postgres.close()

    def _count(self, statement: str) -> int:
        return int(self._postgres.query(statement)[0]["count"])


class Fleet:
    """Pipelines over a few namespaces; a pipeline's topic has its name, and so has its schema, with underscores."""

    def __init__(self, name: str, resources: int, dead: DeadServers, kafka: str, url: str) -> None:
        self.home = name
        self.namespaces = [f"{name}-{number}" for number in range(max(2, resources // 100))]
        self.kafka, self.url = kafka, url
        self.api = ApiServer(name)
        self.port = urllib.parse.urlsplit(self.api.server).port
        names = [f"{name}-{number:04}" for number in range(resources)]
        self.dead_at: dict[str, str] = {}
        most_dead = max(2, resources // ONE_DEAD_IN)
        for pipeline in names[ONE_DEAD_IN // 2 :: ONE_DEAD_IN][:most_dead] if resources >= 2 * ONE_DEAD_IN else names[:most_dead]:
            self.dead_at[pipeline] = dead.add()
        self.live = [pipeline for pipeline in names if pipeline not in self.dead_at]
        self.namespace_of = {pipeline: self.namespaces[number % len(self.namespaces)] for number, pipeline in enumerate(names)}

    def must_be_alone(self) -> None:
        """The operator looks after every namespace."""
        found = self.api.call("GET", f"{PIPELINES}/cryptopipelines") or {"items": []}
        others = [f"{item['metadata']['namespace']}/{item['metadata']['name']}" for item in found["items"]]
        if others:
            raise Failed(f"the operator would run {len(others)} pipelines that are not this run's, such as {others[0]}: give it a control plane of its own")

    def create(self) -> None:
        """Namespaces, Secrets and resources."""
        objects = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in (self.home, *self.namespaces)]
        objects += [secret(namespace, "postgres", self.url) for namespace in self.namespaces]
        objects += [secret(self.namespace_of[pipeline], pipeline, f"postgres://market:market@{address}/market") for pipeline, address in self.dead_at.items()]
        apply(objects)
        with ThreadPoolExecutor(HANDS) as hands:
            for _ in hands.map(self._create, self.namespace_of):
                pass

    def _create(self, pipeline: str) -> None:
        namespace = self.namespace_of[pipeline]
        self.api.call("POST", f"{PIPELINES}/namespaces/{namespace}/cryptopipelines", self._manifest(pipeline))

    def _manifest(self, pipeline: str) -> dict:
        address = self.dead_at.get(pipeline)
        return {
            "apiVersion": "cryptopipeline.dev/v1alpha1",
            "kind": "CryptoPipeline",
            "metadata": {"name": pipeline, "namespace": self.namespace_of[pipeline], "labels": {"fleet": self.home}},
            "spec": {
                "sources": [{"name": "binance", "exchange": "binance", "symbols": ["BTCUSDT", "ETHUSDT"]}],
                "kafka": {"bootstrapServers": address or self.kafka, "topic": {"name": pipeline, "partitions": 1}},
                "database": {"connectionSecret": {"name": pipeline if address else "postgres"}, "schema": schema_of(pipeline)},
            },
        }

    def follow(self) -> "Progress":
        return Progress(self)

    def check_deployments(self) -> None:
        """That each live pipeline has its producer, its aggregators and its repairer."""
        found = Counter(item["metadata"]["labels"]["app.kubernetes.io/instance"] for item in self._deployments())
        must_hold("pipelines' Deployments", self.live, {pipeline for pipeline, count in found.items() if count == DEPLOYMENTS_EACH})

    def statuses(self) -> dict[str, dict]:
        """What the resources say of themselves."""
        items = self.api.call("GET", f"{PIPELINES}/cryptopipelines?labelSelector=fleet={self.home}")["items"]
        return {item["metadata"]["name"]: item.get("status", {}) for item in items}

    def waiting_since(self) -> list[float]:
        """When the Deployments were made that a controller waits for, in seconds since 1970; nobody waits where it does not run."""
        if not self.api.call("GET", f"{APPS}/replicasets?limit=1")["items"]:
            return []
        return [utc_seconds(item["metadata"]["creationTimestamp"]) for item in self._deployments()]

    def _deployments(self) -> list[dict]:
        items = self.api.call("GET", DEPLOYMENTS, accept=METADATA_LIST_ONLY)["items"]
        return [item for item in items if item["metadata"]["namespace"] in self.namespaces]

    def change(self, pipeline: str, limit_s: int) -> float:
        """Seconds from a change of the spec to that of the Deployment."""
        namespace = self.namespace_of[pipeline]
        name = f"{pipeline}-aggregator"
        path = f"{APPS}/namespaces/{namespace}/deployments?fieldSelector=metadata.name={name}"
        found = self.api.call("GET", path)
        generation = found["items"][0]["metadata"]["generation"]
        changes = self.api.watch(f"{path}&resourceVersion={found['metadata']['resourceVersion']}", limit_s)
        began = time.monotonic()
        spec = {"spec": {"aggregation": {"flushInterval": "200ms"}}}
        self.api.call("PATCH", f"{PIPELINES}/namespaces/{namespace}/cryptopipelines/{pipeline}", spec)
        with contextlib.closing(changes), contextlib.suppress(TimeoutError):
            for change in changes:
                if change["type"] == "MODIFIED" and change["object"]["metadata"]["generation"] > generation:
                    return time.monotonic() - began
        raise Failed(f"within {limit_s} s the change of {pipeline} was not acted on")

    def writes(self) -> Counter:
        """How often each kind of object that the operator writes was written since the API server's start, its Lease apart."""
        counts: Counter = Counter()
        for labels, count in self._requests():
            group, resource, subresource = labels["group"], labels["resource"], labels["subresource"]
            is_ours = group in ("cryptopipeline.dev", "events.k8s.io") or ((group, resource) in WRITTEN and not subresource)
            if is_ours and labels["verb"] in WRITES:
                counts[f"{labels['verb']} {resource} {subresource}".strip()] += count
        if not counts:
            raise Failed("the API server counts no writes, and there were some")
        return counts

    def requests(self) -> int:
        """All that were answered."""
        return sum(count for _, count in self._requests())

    def _requests(self) -> Iterator[tuple[dict[str, str], int]]:
        for line in self.api.text("/metrics").splitlines():
            if line.startswith("apiserver_request_total{"):
                yield dict(re.findall(r'(\w+)="([^"]*)"', line)), int(float(line.rpartition(" ")[2]))

    def remove(self) -> None:
        """Everything that was made, by whomever."""
        command("kubectl", "delete", *RIGHTS, "--ignore-not-found")
        # One after the other takes minutes, and the controllers have them all at hand.
        line = ["kubectl", "delete", "namespace", self.home, *self.namespaces, "--ignore-not-found", "--timeout=900s"]
        subprocess.run(line, check=True, capture_output=True, text=True, timeout=960)
        Tables(self.url).drop([schema_of(pipeline) for pipeline in self.live])
        if self.live_topics():
            kafka_topics("--delete", "--topic", f"{self.home}-.*")

    def live_topics(self) -> set[str]:
        return {topic for topic in kafka_topics("--list").split() if topic.startswith(f"{self.home}-")}

    def check_topics(self) -> None:
        must_hold("topics", self.live, self.live_topics())

    def check_schemas(self, tables: Tables) -> None:
        tables.check_schemas([schema_of(pipeline) for pipeline in self.live])


class Progress:
    """Who is reconciled, by what the resources say of themselves and by the Deployments that are there."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._said: dict[str, float] = {}
        self._made: dict[str, dict[str, float]] = {pipeline: {} for pipeline in fleet.live}
        self._ended = threading.Event()
        pipelines = f"{PIPELINES}/cryptopipelines?labelSelector=fleet={fleet.home}"
        self._threads = [
            threading.Thread(target=self._follow, args=(pipelines, "application/json", self._take_in_pipeline), daemon=True),
            threading.Thread(target=self._follow, args=(DEPLOYMENTS, METADATA_ONLY, self._take_in_deployment), daemon=True),
        ]

    def __enter__(self) -> "Progress":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def left(self) -> list[str]:
        """Who is not reconciled yet."""
        return [pipeline for pipeline in self._fleet.namespace_of if self._done_at(pipeline) is None]

    def took(self, began: float) -> tuple[float, float]:
        """Seconds until the last of the live and the last of the dead."""
        last_live = max(self._done_at(pipeline) or 0 for pipeline in self._fleet.live)
        last_dead = max(self._done_at(pipeline) or 0 for pipeline in self._fleet.dead_at)
        return last_live - began, last_dead - began

    def __str__(self) -> str:
        live, dead = self._fleet.live, self._fleet.dead_at
        done = {pipeline for pipeline in self._fleet.namespace_of if self._done_at(pipeline) is not None}
        return f"{len(done & set(live))} of {len(live)} live, {len(done & set(dead))} of {len(dead)} dead"

    def _done_at(self, pipeline: str) -> float | None:
        said = self._said.get(pipeline)
        if said is None or pipeline in self._fleet.dead_at:
            return said
        made = list(self._made[pipeline].values())
        return max(said, *made) if len(made) >= DEPLOYMENTS_EACH else None

    def _follow(self, path: str, accept: str, take_in: Callable[[dict], None]) -> None:
        while not self._ended.is_set():
            # A watch ends now and then.
            with contextlib.suppress(OSError):
                for change in self._fleet.api.watch(path, accept=accept):
                    if change["type"] in ("ADDED", "MODIFIED"):
                        take_in(change["object"])
                    if self._ended.is_set():
                        return

    def _take_in_pipeline(self, item: dict) -> None:
        name = item["metadata"]["name"]
        if name in self._fleet.namespace_of and is_reconciled(item, name in self._fleet.dead_at):
            self._said.setdefault(name, time.monotonic())

    def _take_in_deployment(self, item: dict) -> None:
        made = self._made.get(item["metadata"]["labels"]["app.kubernetes.io/instance"])
        if made is not None:
            made.setdefault(item["metadata"]["name"], time.monotonic())


def is_reconciled(item: dict, is_dead: bool) -> bool:
    """Whether the status is about the spec as it is: topic and schema are there, or it is said that this cannot be known."""
    conditions = {condition["type"]: condition for condition in item.get("status", {}).get("conditions", [])}
    generation = item["metadata"]["generation"]
    expected = "Unknown" if is_dead else "True"
    asked = [conditions.get(kind, {}) for kind in ("TopicReady", "SchemaReady")]
    says = all(condition.get("status") == expected and condition.get("observedGeneration") == generation for condition in asked)
    if is_dead:
        return says and [condition["reason"] for condition in asked] == ["BrokerUnreachable", "DatabaseUnreachable"]
    return says


def schema_of(pipeline: str) -> str:
    return pipeline.replace("-", "_")


def secret(namespace: str, name: str, url: str) -> dict:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}, "stringData": {"uri": url}}


def apply(objects: list[dict]) -> None:
    command("kubectl", "apply", "-f", "-", stdin="\n---\n".join(json.dumps(item) for item in objects))


def kafka_topics(*arguments: str) -> str:
    return broker_tool("org.apache.kafka.tools.TopicCommand", *arguments)


def must_hold(what: str, wished: list[str], found: set[str]) -> None:
    if missing := sorted(set(wished) - found):
        raise Failed(f"{len(missing)} of {len(wished)} {what} are missing: {', '.join(missing[:5])}")


def utc_seconds(text: str) -> float:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
