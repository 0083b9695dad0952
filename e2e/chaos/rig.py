"""What a campaign runs on, and one pipeline on it: real broker, database, API server, operator and workers."""

import contextlib
import json
import os
import signal
import subprocess
import threading
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Callable
from urllib.parse import urlsplit

from apiserver import ApiServer
from judge.indicators import NOTHING_SAID, Indicators
from judge.snapshot import Row, Unreachable
from steps import Failed, apply_crd, wait_until

from .exchange import Exchange
from .market import MARKET, generated, soon_traded
from .node import Node, Pod
from .proxy import DatabaseProxy
from .sampler import Sampler
from .services import Broker, DatabaseServer, MariaDbServer, PostgresServer

SOURCE = "simulated"
INTERVALS = ["1s", "5s", "1m"]
PARTITIONS = 2
SAID = Indicators(moving_average=20, whale_value="20000")
# A minute between probes and a day between rotations are more than a round lasts.
WAITS = {
    "probe_interval_ms": 1_500,
    "probe_distance_ms": 1_000,
    "void_age_ms": 10_000,
    "check_grace_ms": 2_000,
    "check_interval_ms": 2_000,
    "rotate_after_ms": 8_000,
    "overlap_at_least_ms": 500,
    "retry_longest_ms": 2_000,
    "shortest_silence_ms": 2_000,
    "longest_silence_ms": 10_000,
    "listing_interval_ms": 2_000,
    "shortest_ban_ms": 8_000,
}


# How long the rest of a topic may take to be read, once nobody writes any more.
LONGEST_READ_S = 60

WAITS_VARIABLE = {"CRYPTOPIPELINE_TEST_WAITS": json.dumps(WAITS)}


class Rig:
    """The parts that live as long as the campaign."""

    def __init__(self, programs: Path, out: Path, with_mariadb: bool = False) -> None:
        self.programs = programs
        self.out = out
        # Not in the folder that is emptied: a disk may still be mounted there after an interrupted campaign.
        state = out.parent / "testbed"
        self.broker = Broker(state)
        self.postgres, self.mariadb = PostgresServer(state), MariaDbServer(state)
        self.databases: list[DatabaseServer] = [self.postgres, *([self.mariadb] if with_mariadb else [])]
        self.api: ApiServer | None = None
        # In front of each database, by its part.
        self.proxies: dict[str, DatabaseProxy] = {}
        self.operator: subprocess.Popen | None = None
        self.rounds = 0
        # A namespace that is deleted takes a while to go: the next campaign has another.
        self.namespace = f"chaos-{uuid.uuid4().hex[:6]}"

    def __enter__(self) -> "Rig":
        # What an interrupted campaign has left.
        self._kill_leftovers()
        self._down()
        try:
            self._up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _up(self) -> None:
        self.broker.up()
        for database in self.databases:
            database.up()
        self.api = ApiServer(self.namespace)
        apply_crd(self.api.kubectl)
        self.api.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}))
        for database in self.databases:
            address = urlsplit(database.url)
            proxy = self.proxies[database.part] = DatabaseProxy(address.hostname, address.port, database.commit)
            through_proxy = database.url.replace(f":{address.port}/", f":{proxy.port}/")
            secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": database.part, "namespace": self.namespace}, "stringData": {"uri": through_proxy}}
            self.api.kubectl("apply", "-f", "-", stdin=json.dumps(secret))
        self.start_operator()

    def __exit__(self, *_: object) -> None:
        self.kill_operator()
        for proxy in self.proxies.values():
            proxy.close()
        if self.api is not None:
            with contextlib.suppress(Failed):
                self._let_go()
                self.api.kubectl("delete", "cpl", "--all", "--namespace", self.namespace, "--wait=false")
                self.api.kubectl("delete", "namespace", self.namespace, "--wait=false")
        self._down()

    def _let_go(self) -> None:
        """Nobody is there any more who could finish a deletion: what is left must not hold up the namespace."""
        listed = json.loads(self.api.kubectl("get", "cpl", "--namespace", self.namespace, "-o", "json"))
        for item in listed["items"]:
            self.api.patch("cryptopipelines", item["metadata"]["name"], {"metadata": {"finalizers": []}})

    def _kill_leftovers(self) -> None:
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if Path(os.readlink(process / "exe")).parent == self.programs:
                    os.kill(int(process.name), signal.SIGKILL)

    def _down(self) -> None:
        self.broker.down()
        # An interrupted campaign may have left either.
        self.postgres.down()
        self.mariadb.down()

    def start_operator(self) -> None:
        environment = os.environ | {"KUBECONFIG": os.environ["KUBECONFIG_API"], "LOG_FORMAT": "text"}
        line = [self.programs / "operator", "--namespace", self.namespace, "--listen", "127.0.0.1:0"]
        with (self.out / "operator.log").open("ab") as log:
            self.operator = subprocess.Popen(line, stdout=log, stderr=subprocess.STDOUT, env=environment)

    def kill_operator(self) -> None:
        if self.operator is not None:
            self.operator.kill()
            self.operator.wait()


@dataclass(frozen=True)
class Variant:
    """How a pipeline differs from the usual one."""

    store_trades: bool = True
    on_mariadb: bool = False
    # librdkafka's settings for all its workers, also those that a resource may not ask for.
    client_config: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    partitions: int = PARTITIONS
    replicas: int = 3
    # Trades per second of each symbol.
    market: dict[str, float] = field(default_factory=lambda: MARKET)
    # So many hours of the market lie in the past when the pipeline begins, and are wished.
    past_h: int = 0
    intervals: list[str] = field(default_factory=lambda: INTERVALS)

    def said(self) -> Indicators:
        """What is said of its trades."""
        return SAID if self.store_trades else NOTHING_SAID


class Pipeline:
    """One CryptoPipeline with everything that belongs to it, for one round."""

    def __init__(self, rig: Rig, folder: Path, seed: int, variant: Variant) -> None:
        self.rig = rig
        self.variant = variant
        rig.rounds += 1
        self.name = f"round-{rig.rounds}-{uuid.uuid4().hex[:6]}"
        self.schema_name = self.name.replace("-", "_")
        self.topic = self.name
        self.folder = folder
        folder.mkdir(parents=True)
        self.exchange = Exchange(rig.programs / "exchange-sim", folder, generated(seed, variant.market, variant.past_h))
        self.database: DatabaseServer = rig.mariadb if variant.on_mariadb else rig.postgres
        self.proxy = rig.proxies[self.database.part]
        self.schema = self.database.reader(self.database.url, self.schema_name)
        # Faults ask at the same time, and one question at a time can be asked.
        self._asking = threading.Lock()
        self.sampler = Sampler(self.database.reader(self.database.url, self.schema_name), rig.api, self.name)
        own = WAITS_VARIABLE | {"LOG_FORMAT": "text", "RUST_LOG": "info"}
        self.node = Node(rig.api, self.name, rig.programs / "worker", folder, rig.rounds, own | variant.environment, variant.client_config)
        # Until it is made anew: then its offsets tell nothing of the records before.
        self.topic_can_be_read = True
        # By partition, once nobody writes any more.
        self.records: dict[int, int] = {}

    def begin(self) -> None:
        """Applies the resource and waits until trades of every symbol are held."""
        self.node.begin()
        if self.variant.past_h:
            self.exchange.delay_the_past()
        self.rig.api.create("cryptopipelines", self._resource())
        wait_until("the schema is ready", 60, lambda: self.condition("SchemaReady") == "True")
        symbols = soon_traded(self.variant.market)
        wait_until(f"trades of {symbols} symbols are held", 90, lambda: int(self.ask("SELECT count(DISTINCT symbol) FROM symbol_head WHERE trades_held > 0")) >= symbols)
        self.sampler.begin()

    def end(self) -> None:
        """Ends everything but the exchange; what is stored stays to be judged. May be called again."""
        self.sampler.end()
        self.node.end_writers()
        if not self.records:
            self._wait_until_read()
        self.node.end()
        self.schema.close()

    def _wait_until_read(self) -> None:
        """Of two producers, one may still have delivered what the other had brought: all that is held is not all there is."""
        with contextlib.suppress(Failed):
            self.records = self._records()
            end, read = sum(self.records.values()), "SELECT coalesce(sum(next_offset), 0) FROM partition_offsets"
            wait_until("the topic is read to its end", LONGEST_READ_S, lambda: not self.node.running("aggregator") or int(self.ask(read)) >= end)

    def _records(self) -> dict[int, int]:
        """How many records each partition of the topic has had, by Kafka's own tool."""
        printed = self.rig.broker.tool("org.apache.kafka.tools.GetOffsetShell", "--topic", self.topic)
        lines = (line.split(":") for line in printed.splitlines() if line.startswith(f"{self.topic}:"))
        return {int(partition): int(end) for _, partition, end in lines}

    def remove(self) -> None:
        """The resource, the schema, and the topic with it."""
        self.exchange.kill()
        self.rig.api.delete("cryptopipelines", self.name)
        with contextlib.suppress(subprocess.SubprocessError, Unreachable):
            self.schema.drop()

    def patch(self, spec: dict) -> None:
        self.rig.api.patch("cryptopipelines", self.name, {"spec": spec})

    def ask(self, statement: str) -> str:
        """The one value that a query answers with, as soon as the database answers."""
        return next(iter(self.rows(statement)[0].values())) or ""

    def rows(self, statement: str) -> list[Row]:
        """What a query answers with, as soon as the database answers."""
        answers: list[list[Row]] = []

        def answered() -> bool:
            try:
                with self._asking:
                    answers.append(self.schema.query(statement))
            except Unreachable:
                return False
            return True

        wait_until("the database answers", 60, answered)
        return answers[0]

    def trades_held(self) -> int:
        return int(self.ask("SELECT coalesce(sum(trades_held), 0) FROM symbol_head"))

    def says_continuous(self) -> bool:
        return self.condition("DataContinuous") == "True"

    def status(self) -> dict:
        return (self.rig.api.get("cryptopipelines", self.name) or {}).get("status", {})

    def condition(self, kind: str) -> str | None:
        return self.told(kind).get("status")

    def told(self, kind: str) -> dict[str, str]:
        """The whole condition; empty while there is none."""
        return next((item for item in self.status().get("conditions", []) if item["type"] == kind), {})

    def check(self) -> None:
        """Fails where a part of the test itself has failed."""
        for part in (self.node, self.sampler):
            if part.failure is not None:
                raise Failed(f"a part of the test has failed: {part.failure!r}")

    def kill(self, pod: Pod) -> str:
        """kill -9; waits until the node has started it again."""
        pid, starts = pod.process.pid, pod.starts
        pod.process.send_signal(signal.SIGKILL)
        wait_until(f"{pod.name} runs again", 30, lambda: pod.starts > starts or pod.name not in self.node.pods)
        return f"{pod.role} {pid} was killed"

    def start_extra(self, name: str, pod: Pod, change: Callable[[str], str]) -> Pod:
        """Another process like `pod`, with changed settings; the caller ends it."""
        settings = Path(pod.line[pod.line.index("--settings") + 1])
        text = change(settings.read_text(encoding="utf-8"))
        own = self.folder / f"{name}.yaml"
        own.write_text(text, encoding="utf-8")
        address = self.node.free_address()
        line = [pod.line[0], pod.line[1], "--settings", str(own), "--listen", f"{address}:8080"]
        extra = Pod(name, pod.role, address, line, pod.environment, self.folder / f"{name}.log")
        extra.start()
        return extra

    def _resource(self) -> dict:
        url = self.exchange.address
        source = {
            "name": SOURCE,
            "exchange": "binance",
            "venue": SOURCE,
            "symbols": sorted(self.exchange.symbols()),
            "redundancy": 2,
            "endpoints": {"websocket": f"ws://{url}", "rest": f"http://{url}"},
        }
        if self.variant.past_h:
            # An hour before the exchange's first trade, so that every trade is wished.
            begin = datetime.now(timezone.utc) - timedelta(hours=self.variant.past_h + 1)
            source["history"] = {"from": begin.strftime("%Y-%m-%dT%H:%M:%SZ")}
            source["endpoints"]["dumps"] = f"http://{url}"
        return {
            "apiVersion": "cryptopipeline.dev/v1alpha1",
            "kind": "CryptoPipeline",
            "metadata": {"name": self.name, "namespace": self.rig.namespace},
            "spec": {
                "deletionPolicy": "Delete",
                "sources": [source],
                "kafka": {"bootstrapServers": self.rig.broker.address, "topic": {"name": self.topic, "partitions": self.variant.partitions, "replicationFactor": 1}},
                "aggregation": {"intervals": self.variant.intervals, "flushInterval": "100ms", "storeTrades": self.variant.store_trades} | self.variant.said().spec(),
                "database": {"connectionSecret": {"name": self.database.part, "key": "uri"}, "schema": self.schema_name},
                "aggregators": {"maxReplicas": self.variant.replicas},
            },
        }
