"""The programs that are measured, the testbed that they run on, and what they take meanwhile."""

import contextlib
import copy
import json
import os
import re
import socket
import subprocess
import time
import urllib.request
import uuid
from pathlib import Path
from typing import Iterator

from demo import stop
from judge.mysql import MySql
from judge.postgres import Postgres
from steps import command

# With their shares of what is traded.
SYMBOLS = {"BTCUSDT": 20, "ETHUSDT": 15, "SOLUSDT": 10, "BNBUSDT": 6, "ADAUSDT": 4}
LONGEST_RUN_S = 300
# The log begins with the current minute: what had been traded before the first subscription comes at once.
SETTLING_S = 20

Figures = dict[str, float]
Tables = Postgres | MySql
# A program that runs for as long as it is needed, and where it tells of itself.
Started = contextlib.AbstractContextManager[tuple[subprocess.Popen, str]]


class Bench:
    """The programs, the testbed's services, and a folder for settings and logs."""

    def __init__(self, programs: Path, out: Path) -> None:
        self.programs = programs
        self.out = out
        # As they stand in a worker's settings.
        self.kafka: dict = {"bootstrapServers": os.environ["KAFKA_BOOTSTRAP"]}
        self.database: dict = {}
        self.postgres_url = os.environ["POSTGRES_URL"]
        # Beside that of this process.
        self.environment = {"LOG_FORMAT": "text"}

    def over_tls(self) -> "Bench":
        """The same with a broker that wants SCRAM over TLS, and a PostgreSQL that takes nobody without TLS."""
        secure = copy.copy(self)
        tls = {"caFile": str(Path(os.environ["TESTBED_SECURITY"]) / "ca.crt")}
        credentials = {name: self.out / name for name in ("username", "password")}
        credentials["username"].write_text(os.environ["KAFKA_USER"], encoding="utf-8")
        credentials["password"].write_text(os.environ["KAFKA_PASSWORD"], encoding="utf-8")
        sasl = {"mechanism": "SCRAM-SHA-256"} | {f"{name}File": str(file) for name, file in credentials.items()}
        secure.kafka = {"bootstrapServers": os.environ["KAFKA_BOOTSTRAP_SECURE"], "tls": tls, "sasl": sasl}
        secure.database = {"tls": tls}
        secure.postgres_url = os.environ["POSTGRES_SECURE_ADMIN_URL"]
        return secure

    @contextlib.contextmanager
    def live_market(self, topic: str, rate: int) -> Iterator[subprocess.Popen]:
        """Symbols with so many trades per second together, brought to the topic by a producer: that one."""
        with self.exchange("exchange", "--wait", "--generate", *market(rate)) as exchange:
            with self.producer("producer", topic, self.source("simulated", sorted(SYMBOLS), exchange)) as (producer, _):
                yield producer

    def watch(self, topic: str, tables: Tables, seconds: int, *options: str, skip_s: int = SETTLING_S) -> dict:
        """How long records take to rows that can be read, for so long, after a beginning that does not count."""
        where = ["--topic", topic, "--schema", tables.schema]
        return self.tool("watch", *where, "--seconds", str(skip_s + seconds), "--skip-seconds", str(skip_s), *options, database=tables.url)

    def postgres(self, views: str = "") -> contextlib.AbstractContextManager[Postgres]:
        """A pipeline's tables, for as long as they are needed, with the views of another system's and their indexes."""
        return self._tables(Postgres(self.postgres_url, _schema()), views)

    def mysql(self, views: str = "") -> contextlib.AbstractContextManager[MySql]:
        """The same in MariaDB."""
        return self._tables(MySql(os.environ["MYSQL_URL"], _schema()), views)

    @contextlib.contextmanager
    def _tables(self, tables: Tables, views: str) -> Iterator[Tables]:
        try:
            self.tool("migrate", "--schema", tables.schema, *(["--views", views] if views else []), database=tables.url)
            yield tables
        finally:
            tables.close()
            tables.drop()
            if views:
                type(tables)(tables.url, f"{tables.schema}_views").drop()

    def aggregator(self, topic: str, tables: Tables, aggregation: dict, name: str) -> Started:
        """An aggregator, and the address where it tells of itself. `aggregation` is what differs from candles of 1 and 5 minutes and trades, every 100 ms."""
        settings = {
            "pipeline": {"namespace": "bench", "name": unique("bench"), "uid": "bench"},
            "kafka": self.kafka | {"topic": topic},
            "database": self.database | {"schema": tables.schema},
            "aggregation": {"intervals": ["1m", "5m"], "storeTrades": True, "flushIntervalMs": 100} | aggregation,
        }
        return self.worker(name, "aggregate", self.settings(name, settings), tables)

    def producer(self, name: str, topic: str, source: dict) -> Started:
        """A producer, and the address where it tells of itself."""
        settings = {
            "pipeline": {"namespace": "bench", "name": "bench", "uid": "bench"},
            "source": source,
            "kafka": self.kafka | {"topic": topic},
        }
        return self.worker(name, "produce", self.settings(name, settings))

    @contextlib.contextmanager
    def exchange(self, name: str, *arguments: str) -> Iterator[str]:
        """A simulated exchange: its address."""
        with self.program(name, "exchange-sim", "--listen", "127.0.0.1:0", *arguments) as (_, address):
            yield address

    @contextlib.contextmanager
    def worker(self, name: str, role: str, settings: Path, tables: Tables | None = None) -> Iterator[tuple[subprocess.Popen, str]]:
        """A worker, and the address where it tells of itself."""
        address = f"127.0.0.1:{free_port()}"
        with self.program(name, "worker", role, "--settings", str(settings), "--listen", address, database=tables.url if tables else None) as (process, _):
            yield process, address

    @contextlib.contextmanager
    def program(self, name: str, *line: str, database: str | None = None) -> Iterator[tuple[subprocess.Popen, str]]:
        """A program of ours, ended as Kubernetes would, and the first address that it says it listens on."""
        path = self.out / f"{name}.log"
        with path.open("wb") as log:
            environment = os.environ | self.environment | ({"DATABASE_URL": database} if database else {})
            process = subprocess.Popen([self.programs / line[0], *line[1:]], stdout=log, stderr=subprocess.STDOUT, env=environment)
        try:
            yield process, listening_at(process, path) if line[0] == "exchange-sim" else ""
        finally:
            stop(process, 60)

    def topic(self, prefix: str) -> str:
        """An empty topic."""
        topic = unique(prefix)
        self.tool("fill", "--topic", topic, "--trades", "0")
        return topic

    @staticmethod
    def source(name: str, symbols: list[str], exchange: str) -> dict:
        """As it stands in a worker's settings; its name is its venue."""
        return {"name": name, "exchange": "binance", "venue": name, "symbols": symbols, "websocketUrl": f"ws://{exchange}", "restUrl": f"http://{exchange}"}

    def settings(self, name: str, settings: dict) -> Path:
        path = self.out / f"{name}.yaml"
        path.write_text(json.dumps(settings, indent=2), encoding="utf-8")
        return path

    def tool(self, *arguments: str, database: str | None = None) -> dict:
        environment = os.environ | ({"DATABASE_URL": database} if database else {})
        line = [self.programs / "bench", *arguments]
        done = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True, timeout=LONGEST_RUN_S, env=environment)
        return json.loads(done.stdout)


def market(rate: float) -> list[str]:
    """The symbols with so many trades per second together, as the simulated exchange is told."""
    return [f"{symbol}={rate * weight / sum(SYMBOLS.values()):.1f}/s" for symbol, weight in SYMBOLS.items()]


def rows(tables: Tables) -> int:
    """How many trades have a row."""
    return int(tables.query("SELECT count(*) AS count FROM trades")[0]["count"])


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def _schema() -> str:
    return unique("bench").replace("-", "_")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listening_at(process: subprocess.Popen, log: Path) -> str:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        match = re.search(r"127\.0\.0\.1:\d+", log.read_text(encoding="utf-8", errors="replace"))
        if match:
            return match.group(0)
        time.sleep(0.05)
    raise SystemExit(f"the program does not listen:\n{log.read_text(encoding='utf-8', errors='replace')}")


def metric(address: str, name: str) -> int:
    """A counter without labels; 0 before the program answers."""
    try:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
            text = answer.read().decode()
    except OSError:
        return 0
    match = re.search(rf"^{name} (\d+)", text, re.MULTILINE)
    return int(match.group(1)) if match else 0


def kubectl(*arguments: str, stdin: str | None = None) -> str:
    return command("kubectl", "--namespace", "default", *arguments, stdin=stdin)


def say(text: str) -> None:
    print(f"== {text}", flush=True)
