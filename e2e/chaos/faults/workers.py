"""Processes that die, and processes whose clock is wrong."""

import time
from datetime import datetime, timezone
from pathlib import Path
from random import Random

from steps import wait_until

from ..node import Pod
from ..rig import Pipeline
from . import LONGEST_EFFECT_S, Fault, NoEffect

HOUR_S = 3600


def kill_role(role: str):
    def run(pipeline: Pipeline, random: Random) -> str:
        return pipeline.kill(random.choice(_some(pipeline, role)))

    return run


def kill_producers_together(pipeline: Pipeline, _: Random) -> str:
    """Both of a source: what is traded meanwhile is nowhere but at the exchange."""
    return " and ".join([pipeline.kill(pod) for pod in _some(pipeline, "producer")])


def kill_operator(pipeline: Pipeline, random: Random) -> str:
    pid = pipeline.rig.operator.pid
    pipeline.rig.kill_operator()
    time.sleep(random.uniform(0.0, 2.0))
    pipeline.rig.start_operator()
    return f"operator {pid} was killed"


def wrong_clock(role: str):
    def run(pipeline: Pipeline, random: Random) -> str:
        pod = random.choice(_some(pipeline, role))
        offset_s = random.choice((-HOUR_S, HOUR_S))
        pod.extra_environment = {"LD_PRELOAD": _library(), "FAKETIME": f"{offset_s:+d}", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        try:
            pipeline.kill(pod)
            wait_until(f"{pod.name} has the wrong time", LONGEST_EFFECT_S, lambda: abs(_clock_of(pod) - offset_s) < 120)
            time.sleep(random.uniform(2.0, 5.0))
        finally:
            pod.extra_environment = {}
        pipeline.kill(pod)
        return f"the clock of a {role} was off by {offset_s} s, as its answers show"

    return run


def _clock_of(pod: Pod) -> float:
    """By how many seconds the time that it answers with differs from ours."""
    said = pod.says_it_is()
    return (said - datetime.now(timezone.utc)).total_seconds() if said else 0.0


def _library() -> str:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        raise NoEffect("libfaketime is not installed: apt-get install libfaketime")
    return str(found[0])


def _some(pipeline: Pipeline, role: str) -> list[Pod]:
    wait_until(f"a {role} runs", LONGEST_EFFECT_S, lambda: bool(pipeline.node.running(role)))
    return pipeline.node.running(role)


FAULTS = [
    Fault("kill -9 of a producer", "producer", kill_role("producer")),
    Fault("kill -9 of both producers", "producer", kill_producers_together),
    Fault("kill -9 of an aggregator", "aggregator", kill_role("aggregator")),
    Fault("kill -9 of the repairer", "repairer", kill_role("repairer")),
    Fault("kill -9 of the operator", "operator", kill_operator),
    Fault("a producer's clock off by an hour", "producer", wrong_clock("producer")),
    Fault("an aggregator's clock off by an hour", "aggregator", wrong_clock("aggregator")),
    Fault("the repairer's clock off by an hour", "repairer", wrong_clock("repairer")),
]
