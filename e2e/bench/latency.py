"""How long records take from the simulated exchange to rows that can be read, and what each program takes of it and needs, at a steady rate."""

import contextlib
from dataclasses import dataclass
from typing import Callable

from process import Process

from .rig import SETTLING_S, SYMBOLS, Bench, Figures, Tables, market

# As the bench tool tells them: which part of the way.
PARTS = {"to_producer": "to the producer", "producer_to_broker": "producer to broker", "broker_to_row": "broker to row", "exchange_to_row": "exchange to row"}


@dataclass(frozen=True)
class Pipeline:
    """One that is measured, with what it has beside trades of all symbols stored in PostgreSQL."""

    name: str
    # Trades per second of the exchange.
    rate: int
    # Beside what every source has.
    source: dict
    aggregation: dict
    # Whose tables are there as views.
    views: str = ""
    on_mysql: bool = False
    over_tls: bool = False
    settling_s: int = SETTLING_S
    # What is measured of its tables in the end.
    of_tables: Callable[[Tables], Figures] = lambda _: {}


def as_it_runs(bench: Bench, pipeline: Pipeline, seconds: int) -> Figures:
    bench = bench.over_tls() if pipeline.over_tls else bench
    with contextlib.ExitStack() as stack:
        topic = bench.topic("bench-live")
        tables = stack.enter_context(bench.mysql(pipeline.views) if pipeline.on_mysql else bench.postgres(pipeline.views))
        aggregator, _ = stack.enter_context(bench.aggregator(topic, tables, pipeline.aggregation, "aggregator"))
        # Polls subscribe to nothing, which the exchange could wait for.
        waits = [] if "pollIntervalMs" in pipeline.source else ["--wait"]
        exchange = stack.enter_context(bench.exchange("exchange", *waits, "--generate", *market(pipeline.rate)))
        source = bench.source("simulated", sorted(SYMBOLS), exchange) | pipeline.source
        producer, _ = stack.enter_context(bench.producer("producer", topic, source))
        programs = {"producer": Process(producer.pid), "aggregator": Process(aggregator.pid)}
        tickers = ["--tickers"] if pipeline.source.get("feed") == "tickers" else []
        watched = bench.watch(topic, tables, seconds, *tickers, skip_s=pipeline.settling_s)
        memory = {f"{pipeline.name} {program} MB": process.peak_mb() for program, process in programs.items()}
        return _spread(pipeline.name, watched) | memory | pipeline.of_tables(tables)


def _spread(name: str, watched: dict) -> Figures:
    """What was watched, as figures of that name."""
    figures = {f"{name} records per second": watched["records_per_second"]}
    for part, words in PARTS.items():
        figures |= {f"{name} {words} {which} ms": watched[part][f"{which}_ms"] for which in ("median", "p99", "largest")}
    return figures
