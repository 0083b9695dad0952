#!/usr/bin/env python3
"""One trace from exchange frame to commit, sent to a real OpenTelemetry Collector, by real programs on a real broker and database.

usage: traces.py --bin FOLDER --out FOLDER

Needs the testbed's services, control plane and collector.
"""

import argparse
import contextlib
import json
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

from bench.idle_operator import pipeline
from bench.rig import Bench, Tables, free_port, kubectl, rows, unique
from collector import CLIENT, CONSUMER, INTERNAL, PRODUCER, Collector, Span
from steps import CHECKOUT, Failed, Test, apply_crd, program_arguments, wait_until

PRODUCER_SERVICE, AGGREGATOR_SERVICE = "cryptopipeline-producer", "cryptopipeline-aggregator"
MARKET = {"BTCUSDT": 20, "ETHUSDT": 10}
# What is exported is looked for at once; a user's programs wait for five seconds.
TRACED = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1.0", "OTEL_BSP_SCHEDULE_DELAY": "200"}
JSON_LINES = {"LOG_FORMAT": "json", "RUST_LOG": "info,worker=debug"}
ENOUGH_TRADES = 200


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments = program_arguments(parser)
    return Traces(arguments.bin, arguments.out).verdict("traces")


@dataclass(frozen=True)
class Chain:
    """A trade on its way."""

    frame: Span
    send: Span
    process: Span
    flush: Span


class Traces(Test):
    """The programs beside a collector that runs, with none, and with ones that do not do their part."""

    def __init__(self, programs: Path, out: Path) -> None:
        super().__init__()
        self.bench = Bench(programs, out)
        self.out = out
        self.collector = Collector(out, free_port())

    def run(self) -> None:
        self.step("a trade's trace goes from its frame to its commit, and log lines carry its id", self.from_frame_to_commit)
        self.step("a reconcile is a trace, and what it logs carries its id", self.reconcile)
        self.step("without an endpoint nothing is sent, and no record has a header", self.switched_off)
        self.step("a collector that is away stops nothing", self.collector_away)
        self.step("a collector that never answers stops nothing", self.collector_silent)

    def from_frame_to_commit(self) -> None:
        with self.pipeline("traced", {"OTEL_EXPORTER_OTLP_ENDPOINT": self.collector.endpoint} | TRACED) as (topic, tables):
            wait_until("a trade is traced from its frame to its commit", 60, lambda: self.chain(topic) is not None)
            wait_until(f"{ENOUGH_TRADES} trades are held", 60, lambda: rows(tables) >= ENOUGH_TRADES)
            chain = self.chain(topic)
            self.is_what_happened(chain, tables)
            self.probe_of_the_exchange(topic, tables)
        for program, said in (("producer-traced", ("record acknowledged",)), ("aggregator-traced", ("record committed", "batch committed"))):
            self.has_line(program, chain.frame.trace_id)
            # Every frame was drawn, so each of these was written within a span.
            bare = [line for words in said for line in self.log_lines(program, words) if "trace_id" not in line]
            if bare:
                raise Failed(f"{program} has lines without a trace: {bare[:3]}")
        if not self.headers(topic):
            raise Failed("no record has a header, though every frame was sampled")
        print(f"   trace {chain.frame.trace_id}: {' -> '.join(span.name for span in (chain.frame, chain.send, chain.process, chain.flush))}", flush=True)

    def chain(self, topic: str) -> Chain | None:
        """A trade that was new, with all of its spans."""
        spans = self.collector.spans()
        children = {(span.trace_id, span.parent_id, span.name): span for span in spans}
        flushes = [span for span in spans if span.name == f"flush {topic}"]
        for frame in spans:
            send = children.get((frame.trace_id, frame.span_id, f"send {topic}"))
            process = send and children.get((send.trace_id, send.span_id, f"process {topic}"))
            flush = process and next((flush for flush in flushes if process.place in flush.links), None)
            if flush:
                return Chain(frame, send, process, flush)
        return None

    def is_what_happened(self, chain: Chain, tables: Tables) -> None:
        """What the spans say is so, and is what the database holds."""
        frame, send, process, flush = chain.frame, chain.send, chain.process, chain.flush
        told = [(span.service, span.name.split()[0], span.kind) for span in (frame, send, process, flush)]
        expected = [
            (PRODUCER_SERVICE, "exchange", INTERNAL),
            (PRODUCER_SERVICE, "send", PRODUCER),
            (AGGREGATOR_SERVICE, "process", CONSUMER),
            (AGGREGATOR_SERVICE, "flush", CONSUMER),
        ]
        if told != expected or frame.parent_id or flush.parent_id:
            raise Failed(f"the spans are {told}")
        for name in ("messaging.destination.partition.id", "messaging.kafka.offset"):
            if name not in send.attributes or send.attributes[name] != process.attributes[name]:
                raise Failed(f"{name} is {send.attributes.get(name)} where it was sent, {process.attributes[name]} where it was read")
        for span in (process, flush):
            if span.events != ("committed",) or span.failed:
                raise Failed(f"{span} was not committed")
        read, new, duplicate, set_aside = (
            int(flush.attributes[name])
            for name in ("messaging.batch.message_count", "cryptopipeline.trades_new", "cryptopipeline.trades_duplicate", "cryptopipeline.records_set_aside")
        )
        if read != new + duplicate + set_aside or not new:
            raise Failed(f"of {read} records {new} were new, {duplicate} duplicates and {set_aside} set aside")
        symbol, trade_id = frame.attributes["cryptopipeline.symbol"], frame.attributes["cryptopipeline.trade_id"]
        question = f"SELECT count(*) AS held FROM trades JOIN symbol_head USING (symbol_id) WHERE symbol = '{symbol}' AND trade_id = {trade_id}"
        if tables.query(question)[0]["held"] != "1":
            raise Failed(f"trade {trade_id} of {symbol} is traced to its commit, and is not there")

    def probe_of_the_exchange(self, topic: str, tables: Tables) -> None:
        """The repairer's steps and its requests are traces too."""
        source = self.bench.source("simulated", sorted(MARKET), self.exchange)
        settings = {
            "pipeline": {"namespace": "bench", "name": "bench", "uid": "bench"},
            "sources": [source],
            "kafka": self.bench.kafka | {"topic": topic},
            "database": {"schema": tables.schema},
        }

        def is_traced() -> bool:
            spans = self.collector.spans()
            probes = {span.place for span in spans if (span.service, span.name) == ("cryptopipeline-repairer", "probe")}
            return any(
                (span.trace_id, span.parent_id) in probes and span.attributes.get("http.response.status_code") == "200"
                for span in spans
                if span.kind == CLIENT and span.name.startswith("GET /api/v3/")
            )

        with self.bench.worker("repairer-traced", "repair", self.bench.settings("repairer-traced", settings), tables):
            wait_until("a probe and its request are traced", 60, is_traced)

    def reconcile(self) -> None:
        self.bench.environment |= {"OTEL_EXPORTER_OTLP_ENDPOINT": self.collector.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "200"}
        self.bench.environment |= {"LOG_FORMAT": "json", "RUST_LOG": "warn,operator=debug"}
        name = unique("traces")
        apply_crd(kubectl)
        listens = f"127.0.0.1:{free_port()}"

        def traced() -> list[Span]:
            return [span for span in self.collector.spans() if span.name == "reconcile" and span.attributes.get("cryptopipeline.pipeline") == name]

        try:
            with self.bench.program("operator-traced", "operator", "--namespace", "default", "--listen", listens):
                kubectl("apply", "-f", "-", stdin=json.dumps(pipeline(name, name, name.replace("-", "_"))))
                wait_until("a reconcile is traced", 60, lambda: bool(traced()))
        finally:
            kubectl("delete", f"cpl/{name}", "--ignore-not-found", "--timeout=60s")
        if any(span.attributes["k8s.namespace.name"] != "default" or span.service != "cryptopipeline-operator" for span in traced()):
            raise Failed(f"the spans are {traced()}")
        self.has_line("operator-traced", traced()[0].trace_id)

    def switched_off(self) -> None:
        before = len(self.collector.spans())
        with self.pipeline("untraced", {}) as (topic, tables):
            wait_until(f"{ENOUGH_TRADES} trades are held", 60, lambda: rows(tables) >= ENOUGH_TRADES)
        if self.headers(topic):
            raise Failed("records have headers")
        if len(self.collector.spans()) != before or self.log_lines("aggregator-untraced", "trace_id"):
            raise Failed("something is traced")

    def collector_away(self) -> None:
        self.flows_all_the_same("away", f"http://127.0.0.1:{free_port()}")
        self.complains_of_the_collector("aggregator-away")

    def collector_silent(self) -> None:
        """It takes the connection, and says nothing."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.flows_all_the_same("silent", f"http://127.0.0.1:{server.getsockname()[1]}")

    def flows_all_the_same(self, name: str, endpoint: str) -> None:
        with self.pipeline(name, {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint} | TRACED) as (topic, tables):
            wait_until(f"{ENOUGH_TRADES} trades are held", 60, lambda: rows(tables) >= ENOUGH_TRADES)
            held = rows(tables)
            wait_until("more trades are held", 60, lambda: rows(tables) >= held + ENOUGH_TRADES)
        if not self.headers(topic):
            raise Failed("no record has a header: nothing was traced")

    @contextlib.contextmanager
    def pipeline(self, name: str, environment: dict[str, str]) -> Iterator[tuple[str, Tables]]:
        """A market, its producer and its aggregator, which end in order: their topic and tables."""
        with contextlib.ExitStack() as stack:
            self.bench.environment = dict(JSON_LINES)
            topic = self.bench.topic("traces")
            tables = stack.enter_context(self.bench.postgres())
            generated = [f"{symbol}={rate}/s" for symbol, rate in MARKET.items()]
            self.exchange = stack.enter_context(self.bench.exchange(f"exchange-{name}", "--generate", *generated))
            self.bench.environment |= environment
            aggregator, _ = stack.enter_context(self.bench.aggregator(topic, tables, {}, f"aggregator-{name}"))
            source = self.bench.source("simulated", sorted(MARKET), self.exchange)
            producer, _ = stack.enter_context(self.bench.producer(f"producer-{name}", topic, source))
            yield topic, tables
            stack.close()
            if (producer.returncode, aggregator.returncode) != (0, 0):
                raise Failed(f"the producer ended with {producer.returncode}, the aggregator with {aggregator.returncode}")

    def headers(self, topic: str) -> int:
        """How many of the topic's first records have a header; it is one of ours."""
        tool = [CHECKOUT / "testbed/parts/kafka", "tool", "org.apache.kafka.tools.consumer.ConsoleConsumer", "--topic", topic]
        options = ["--from-beginning", "--max-messages", str(ENOUGH_TRADES), "--timeout-ms", "30000", "--property", "print.headers=true"]
        printed = subprocess.run([*tool, *options], check=True, capture_output=True, text=True, timeout=120).stdout.splitlines()
        records = [line for line in printed if '"trade_id":' in line]
        if len(records) != ENOUGH_TRADES:
            raise Failed(f"{len(records)} records were read of {ENOUGH_TRADES}:\n{printed[:5]}")
        return sum(line.startswith("traceparent:00-") for line in records)

    def log_lines(self, program: str, word: str) -> list[dict]:
        """Those with the word; every line is JSON."""
        text = (self.out / f"{program}.log").read_text(encoding="utf-8")
        return [line for line in map(json.loads, text.splitlines()) if word in json.dumps(line)]

    def has_line(self, program: str, trace_id: str) -> None:
        lines = self.log_lines(program, trace_id)
        if not any(line.get("trace_id") == trace_id and line.get("span_id") for line in lines):
            raise Failed(f"{program} has no line with trace_id {trace_id}; those that name it: {lines}")

    def complains_of_the_collector(self, program: str) -> None:
        lines = self.log_lines(program, "the collector takes no traces")
        if not lines or len(lines) > 3:
            raise Failed(f"{program} has said {len(lines)} times that the collector takes no traces")

    def clean_up(self) -> None:
        self.collector.end()


if __name__ == "__main__":
    sys.exit(main())
