"""How long trades take from the simulated exchange to rows that can be read, and what each program takes of it, at a steady rate."""

import contextlib

from process import Process

from .rig import Bench, Figures

# As the bench tool tells them: which part of the way.
PARTS = {"to_producer": "to the producer", "producer_to_broker": "producer to broker", "broker_to_row": "broker to row", "exchange_to_row": "exchange to row"}


def live(bench: Bench, rate: int, seconds: int) -> Figures:
    with contextlib.ExitStack() as stack:
        topic = bench.topic("bench-live")
        tables = stack.enter_context(bench.postgres())
        aggregator, _ = stack.enter_context(bench.aggregator(topic, tables, {}, "aggregator"))
        producer = stack.enter_context(bench.live_market(topic, rate))
        figures = spread("live", bench.watch(topic, tables, seconds))
        return figures | {"producer MB": Process(producer.pid).peak_mb(), "aggregator MB": Process(aggregator.pid).peak_mb()}


def spread(name: str, watched: dict) -> Figures:
    """What was watched, as figures of that name."""
    figures = {f"{name} records per second": watched["records_per_second"]}
    for part, words in PARTS.items():
        figures |= {f"{name} {words} {which} ms": watched[part][f"{which}_ms"] for which in ("median", "p99", "largest")}
    return figures
