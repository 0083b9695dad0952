"""Changes of the pipeline under load, and strangers among its parts."""

import signal
import time
from random import Random
from typing import Callable

from steps import wait_until

from ..node import Pod
from ..rig import INTERVALS, PARTITIONS, Pipeline
from . import LONGEST_EFFECT_S, Fault

# What an aggregator prints when somebody else has moved a position.
CONFLICT = "offset_moved"


def grow(pipeline: Pipeline, random: Random) -> str:
    before = int(pipeline.status().get("partitions") or PARTITIONS)
    wanted = before + random.randint(1, 3)
    pipeline.patch({"kafka": {"topic": {"partitions": wanted}}})

    def had() -> set[int]:
        return set().union(*(pod.partitions_had() for pod in pipeline.node.running("aggregator")))

    # Not by the rows of positions: a database that is set back meanwhile forgets those of partitions without a trade.
    wait_until(f"{wanted} partitions are read", LONGEST_EFFECT_S, lambda: had() >= set(range(wanted)))
    return f"the topic grew from {before} to {wanted} partitions"


def rebalance(pipeline: Pipeline, random: Random) -> str:
    """Another member of the group comes and goes."""
    extra = _extra_aggregator(pipeline, random, lambda text: text)
    try:
        # Which may be none: the others can do with as many as there are.
        wait_until("the new member is given its share", LONGEST_EFFECT_S, lambda: "partitions assigned" in extra.printed())
        time.sleep(random.uniform(0.5, 3.0))
    finally:
        extra.process.send_signal(random.choice((signal.SIGTERM, signal.SIGKILL)))
        extra.process.wait(timeout=40)
    return "a member joined the group, read, and left"


def second_writer(pipeline: Pipeline, random: Random) -> str:
    """Another group reads the same partitions into the same tables."""
    extra = _extra_aggregator(pipeline, random, lambda text: text.replace(pipeline.name, "stranger", 1))
    writers = [extra, *pipeline.node.running("aggregator")]
    before = sum(writer.printed().count(CONFLICT) for writer in writers)
    try:
        wait_until("two writers meet", LONGEST_EFFECT_S, lambda: sum(writer.printed().count(CONFLICT) for writer in writers) > before)
        time.sleep(random.uniform(1.0, 3.0))
    finally:
        extra.process.kill()
        extra.process.wait()
    return "a second writer wrote to the same partitions"


def interval(pipeline: Pipeline, random: Random) -> str:
    """An interval comes and goes in the middle of its window."""
    added = random.choice(("15s", "30s", "5m"))
    pipeline.patch({"aggregation": {"intervals": [*INTERVALS, added]}})
    seconds = {"15s": 15, "30s": 30, "5m": 300}[added]
    folds = f"SELECT count(*) FROM folds WHERE output = 'candles' AND interval_s = {seconds}"
    wait_until(f"candles of {added} are made", LONGEST_EFFECT_S, lambda: int(pipeline.ask(folds)) > 0)
    time.sleep(random.uniform(0.0, 3.0))
    pipeline.patch({"aggregation": {"intervals": INTERVALS}})
    wait_until(f"candles of {added} are made no more", LONGEST_EFFECT_S, lambda: int(pipeline.ask(folds)) == 0)
    return f"candles of {added} were made for a while"


def remade_topic(pipeline: Pipeline, _: Random) -> str:
    def ids() -> set[str | None]:
        return {row["topic_id"] for row in pipeline.rows("SELECT topic_id FROM partition_offsets")}

    before = ids()
    pipeline.topic_can_be_read = False
    pipeline.rig.broker.tool("org.apache.kafka.tools.TopicCommand", "--delete", "--topic", pipeline.topic)
    wait_until("the topic was made anew and is read", LONGEST_EFFECT_S, lambda: bool(ids() - before))
    return "the topic was deleted and made anew"


def _extra_aggregator(pipeline: Pipeline, random: Random, change: Callable[[str], str]) -> Pod:
    wait_until("an aggregator runs", LONGEST_EFFECT_S, lambda: bool(pipeline.node.running("aggregator")))
    return pipeline.start_extra(f"extra-{random.randint(0, 10**9)}", pipeline.node.running("aggregator")[0], change)


FAULTS = [
    Fault("partitions grown", "spec", grow),
    Fault("an interval added and removed", "spec", interval),
    Fault("rebalance", "group", rebalance),
    Fault("two writers on one partition", "group", second_writer),
    Fault("topic deleted and made anew", "broker", remade_topic),
]
