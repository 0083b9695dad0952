#!/usr/bin/env python3
"""What the programs can do on this machine, each figure beside a limit measured in the same run.

Needs the testbed (eval "$(testbed/up api)" and services) and the programs, built for speed:  bench.py --bin FOLDER --out FOLDER

- Catching up: the aggregator on a filled topic, without and with stored trades, beside a loop that only polls and beside
  a COPY of the same rows into the same table.
- Latency: from the simulated exchange to a row that can be read, at a steady rate.
- Repair: how long an hour that is missing takes beside what half of the exchange's request budget allows, and the latency of others meanwhile.
- Memory: the largest resident size of each program.
Nothing is asserted: machines differ, and are shared. The figures go to OUT/figures.json too.
"""

import argparse
import contextlib
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
import uuid
from pathlib import Path
from typing import Iterator

from bench_repair import repair
from demo import stop
from judge.postgres import Postgres
from process import memory_kib
from steps import apply_crd, command, program_arguments

SYMBOLS = {"BTCUSDT": 20, "ETHUSDT": 15, "SOLUSDT": 10, "BNBUSDT": 6, "ADAUSDT": 4}
LONGEST_RUN_S = 300
# The log begins with the current minute: what had been traded before the first subscription comes at once.
SETTLING_S = 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trades", type=int, default=2_000_000, help="trades on the topic that is caught up with")
    parser.add_argument("--rounds", type=int, default=3, help="how often each rate is measured; the median counts")
    parser.add_argument("--rate", type=int, default=5_000, help="trades per second while latency is measured")
    parser.add_argument("--seconds", type=int, default=60, help="how long latency is measured")
    parser.add_argument("--missing", type=int, default=3_600, help="for how many seconds the trades of a symbol are missing, to be repaired")
    arguments = program_arguments(parser)
    bench = Bench(arguments.bin, arguments.out)
    figures = bench.catch_up(arguments.trades, arguments.rounds)
    figures |= bench.live(arguments.rate, arguments.seconds)
    say(f"{arguments.missing} s of a symbol are missing while others are traded")
    figures |= repair(bench, arguments.missing, arguments.rate, arguments.seconds)
    figures |= bench.operator()
    (arguments.out / "figures.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(table(figures), flush=True)
    return 0


class Bench:
    """The programs, the testbed's services, and a folder for settings and logs."""

    def __init__(self, programs: Path, out: Path) -> None:
        self.programs = programs
        self.out = out
        self.kafka = os.environ["KAFKA_BOOTSTRAP"]
        self.url = os.environ["POSTGRES_URL"]
        # Beside that of this process.
        self.environment = {"DATABASE_URL": self.url, "LOG_FORMAT": "text"}

    def catch_up(self, trades: int, rounds: int) -> dict[str, float]:
        """Records per second: a poll loop, the aggregator without and with stored trades, and COPY."""
        topic = unique("bench")
        say(f"filling a topic with {trades} trades")
        self.tool("fill", "--topic", topic, "--trades", str(trades))
        rates: dict[str, list[float]] = {"poll loop": [], "without trades": [], "with trades": [], "COPY": []}
        peaks: list[int] = []
        for number in range(1, rounds + 1):
            say(f"round {number} of {rounds}")
            polled = self.tool("poll", "--topic", topic)
            rates["poll loop"].append(polled["records"] / polled["seconds"])
            with self.schema() as schema:
                rates["without trades"].append(self.aggregate(topic, schema, trades, False, peaks))
            with self.schema() as schema:
                rates["with trades"].append(self.aggregate(topic, schema, trades, True, peaks))
                rates["COPY"].append(self.copy(schema, trades))
            for name, measured in rates.items():
                say(f"  {name}: {measured[-1]:,.0f}/s")
        medians = {f"{name} per second": statistics.median(measured) for name, measured in rates.items()}
        return medians | {"aggregator catching up MiB": max(peaks) / 1024}

    def aggregate(self, topic: str, schema: str, trades: int, store_trades: bool, peaks: list[int]) -> float:
        """Records per second from the first commit to the last."""
        name = unique("aggregator")
        with self.aggregator(topic, schema, store_trades, name) as (process, address):
            begun, before, read = 0.0, 0, 0
            deadline = time.monotonic() + LONGEST_RUN_S
            while read < trades:
                read = metric(address, "cryptopipeline_aggregator_records_read_total")
                now = time.monotonic()
                if read and not before:
                    begun, before = now, read
                if now > deadline or process.poll() is not None:
                    raise SystemExit(f"the aggregator committed {read} of {trades} records; see {self.out / name}.log")
                time.sleep(0.01)
            if before == read:
                raise SystemExit(f"all {trades} trades were committed between two looks, which tells no rate: give more --trades")
            peaks.append(memory_kib(process.pid, "VmHWM"))
            return (read - before) / (now - begun)

    def copy(self, schema: str, trades: int) -> float:
        """Rows per second of a COPY of the rows that the aggregator has stored, into the same table."""
        rows = self.out / "rows"
        self.psql(schema, f"\\copy (SELECT * FROM trades) TO '{rows}' (FORMAT binary)")
        self.psql(schema, "TRUNCATE trades")
        begun = time.monotonic()
        self.psql(schema, f"\\copy trades FROM '{rows}' (FORMAT binary)")
        took = time.monotonic() - begun
        copied = self.rows(schema)
        if copied != trades:
            raise SystemExit(f"{copied} rows were copied, not {trades}: the aggregator has not stored every trade")
        rows.unlink()
        return trades / took

    def rows(self, schema: str) -> int:
        with contextlib.closing(Postgres(self.url, schema)) as database:
            return int(database.query("SELECT count(*) AS count FROM trades")[0]["count"])

    def live(self, rate: int, seconds: int) -> dict[str, float]:
        """How old trades are when their rows can be read, and what the programs take, at a steady rate."""
        say(f"{rate} trades per second for {seconds} s")
        with contextlib.ExitStack() as stack:
            topic = self.topic("bench-live")
            schema = stack.enter_context(self.schema())
            aggregator, _ = stack.enter_context(self.aggregator(topic, schema, True, "aggregator"))
            producer = stack.enter_context(self.live_market(topic, rate))
            ages = self.watch(schema, seconds)
            return {
                "latency trades per second": ages["trades_per_second"],
                "latency median ms": ages["median_ms"],
                "latency p99 ms": ages["p99_ms"],
                "latency largest ms": ages["largest_ms"],
                "producer MiB": memory_kib(producer.pid, "VmHWM") / 1024,
                "aggregator MiB": memory_kib(aggregator.pid, "VmHWM") / 1024,
            }

    @contextlib.contextmanager
    def live_market(self, topic: str, rate: int) -> Iterator[subprocess.Popen]:
        """Symbols with so many trades per second together, brought to the topic by a producer: that one."""
        total = sum(SYMBOLS.values())
        market = [f"{symbol}={rate * weight / total:.1f}/s" for symbol, weight in SYMBOLS.items()]
        with self.exchange("exchange", "--wait", "--generate", *market) as exchange:
            with self.producer("producer", topic, self.source("simulated", sorted(SYMBOLS), exchange)) as producer:
                yield producer

    def watch(self, schema: str, seconds: int, skip_s: int = SETTLING_S) -> dict:
        """How old trades are when their rows can be read, for so long, after a beginning that does not count."""
        return self.tool("watch", "--schema", schema, "--seconds", str(skip_s + seconds), "--skip-seconds", str(skip_s))

    def operator(self) -> dict[str, float]:
        """What the operator takes while it keeps one pipeline."""
        say("the operator with a pipeline on a bare control plane")
        name = unique("bench")
        topic, schema = name, name.replace("-", "_")
        apply_crd(kubectl)
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"uri": self.url}}
        try:
            with self.program("operator", "operator", "--namespace", "default", "--listen", "127.0.0.1:0") as (operator, _):
                for item in (secret, pipeline(name, self.kafka, topic, schema)):
                    kubectl("apply", "-f", "-", stdin=json.dumps(item))
                kubectl("wait", "--for=condition=SchemaReady", f"cpl/{name}", "--timeout=60s")
                kubectl("wait", "--for=condition=TopicReady", f"cpl/{name}", "--timeout=60s")
                return {"operator MiB": memory_kib(operator.pid, "VmHWM") / 1024}
        finally:
            kubectl("delete", f"cpl/{name}", f"secret/{name}", "--ignore-not-found", "--timeout=60s")
            self.drop(schema)

    @contextlib.contextmanager
    def schema(self) -> Iterator[str]:
        """A pipeline's tables, for as long as they are needed."""
        schema = unique("bench").replace("-", "_")
        try:
            self.tool("migrate", "--schema", schema)
            yield schema
        finally:
            self.drop(schema)

    def drop(self, schema: str) -> None:
        self.psql(schema, f"DROP SCHEMA IF EXISTS {schema} CASCADE")

    @contextlib.contextmanager
    def aggregator(self, topic: str, schema: str, store_trades: bool, name: str) -> Iterator[tuple[subprocess.Popen, str]]:
        settings = self.settings(name, aggregator_settings(self.kafka, topic, schema, store_trades))
        with self.worker(name, "aggregate", settings) as started:
            yield started

    @contextlib.contextmanager
    def producer(self, name: str, topic: str, source: dict) -> Iterator[subprocess.Popen]:
        settings = {
            "pipeline": {"namespace": "bench", "name": "bench", "uid": "bench"},
            "source": source,
            "kafka": {"bootstrapServers": self.kafka, "topic": topic},
        }
        with self.worker(name, "produce", self.settings(name, settings)) as (process, _):
            yield process

    @contextlib.contextmanager
    def exchange(self, name: str, *arguments: str) -> Iterator[str]:
        """A simulated exchange: its address."""
        with self.program(name, "exchange-sim", "--listen", "127.0.0.1:0", *arguments) as (_, address):
            yield address

    @contextlib.contextmanager
    def worker(self, name: str, role: str, settings: Path) -> Iterator[tuple[subprocess.Popen, str]]:
        address = f"127.0.0.1:{free_port()}"
        with self.program(name, "worker", role, "--settings", str(settings), "--listen", address) as (process, _):
            yield process, address

    @contextlib.contextmanager
    def program(self, name: str, *line: str) -> Iterator[tuple[subprocess.Popen, str]]:
        """A program of ours, ended as Kubernetes would, and the first address that it says it listens on."""
        path = self.out / f"{name}.log"
        with path.open("wb") as log:
            process = subprocess.Popen([self.programs / line[0], *line[1:]], stdout=log, stderr=subprocess.STDOUT, env=os.environ | self.environment)
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

    def tool(self, *arguments: str) -> dict:
        done = subprocess.run([self.programs / "bench", *arguments], check=True, stdout=subprocess.PIPE, text=True, timeout=LONGEST_RUN_S)
        return json.loads(done.stdout)

    def psql(self, schema: str, statement: str) -> None:
        arguments = ["psql", "--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", "-c", statement, self.url]
        environment = os.environ | {"PGOPTIONS": f"-c search_path={schema} -c client_min_messages=warning"}
        subprocess.run(arguments, check=True, timeout=LONGEST_RUN_S, env=environment)


def aggregator_settings(kafka: str, topic: str, schema: str, store_trades: bool) -> dict:
    return {
        "pipeline": {"namespace": "bench", "name": unique("bench"), "uid": "bench"},
        "kafka": {"bootstrapServers": kafka, "topic": topic},
        "database": {"schema": schema},
        "aggregation": {"intervals": ["1m", "5m"], "storeTrades": store_trades, "flushIntervalMs": 100},
    }


def pipeline(name: str, kafka: str, topic: str, schema: str) -> dict:
    return {
        "apiVersion": "cryptopipeline.dev/v1alpha1",
        "kind": "CryptoPipeline",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "sources": [{"name": "binance", "exchange": "binance", "symbols": list(SYMBOLS)}],
            "kafka": {"bootstrapServers": kafka, "topic": {"name": topic, "partitions": 3}},
            "aggregation": {"intervals": ["1m", "5m"]},
            "database": {"connectionSecret": {"name": name, "key": "uri"}, "schema": schema},
        },
    }


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


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


def table(figures: dict[str, float]) -> str:
    poll, copy = figures["poll loop per second"], figures["COPY per second"]
    without, stored = figures["without trades per second"], figures["with trades per second"]
    rows = [
        ("poll loop that only counts", f"{poll:,.0f} records/s", "the limit of the next line"),
        ("aggregator, trades not stored", f"{without:,.0f} trades/s", f"{without / poll:.0%} of the poll loop"),
        ("COPY of the same rows", f"{copy:,.0f} rows/s", "the limit of the next line"),
        ("aggregator, trades stored", f"{stored:,.0f} trades/s", f"{stored / copy:.0%} of COPY"),
        (
            "exchange to readable row",
            f"{figures['latency p99 ms']:.0f} ms at the 99th percentile",
            f"median {figures['latency median ms']:.0f} ms, largest {figures['latency largest ms']:.0f} ms, at {figures['latency trades per second']:,.0f} trades/s",
        ),
        (
            "repair of what was missing",
            f"{figures['repaired trades']:,.0f} trades in {figures['repair s']:.0f} s",
            f"{figures['repair s'] / figures['repair by half of the budget s']:.0%} of what half of the request budget takes; {figures['repair requests refused']:.0f} requests refused",
        ),
        (
            "exchange to row while repairing",
            f"{figures['latency with repair p99 ms']:.0f} ms at the 99th percentile",
            f"{figures['latency with repair p99 ms'] / figures['latency without repair p99 ms']:.2f} times that without ({figures['latency without repair p99 ms']:.0f} ms)",
        ),
        ("memory of the producer", f"{figures['producer MiB']:.0f} MiB", "largest, at that rate"),
        ("memory of the aggregator", f"{figures['aggregator MiB']:.0f} MiB", f"largest, at that rate; {figures['aggregator catching up MiB']:.0f} MiB catching up"),
        ("memory of the operator", f"{figures['operator MiB']:.0f} MiB", "largest, with one pipeline"),
    ]
    return "\n".join(f"{what:32} {figure:32} {beside}" for what, figure, beside in rows)


if __name__ == "__main__":
    sys.exit(main())
