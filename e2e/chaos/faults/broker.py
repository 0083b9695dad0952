"""A broker that restarts, dies, is away, or has no room left."""

import time
from random import Random

from steps import wait_until

from ..rig import Pipeline
from . import LONGEST_EFFECT_S, Fault
from .service import faults_of


def full_disk(pipeline: Pipeline, random: Random) -> str:
    """Kafka ends itself when it cannot write; it is started again once there is room."""
    broker = pipeline.rig.broker
    taken = broker.fill_disk()
    try:
        wait_until("the broker notices that its disk is full", LONGEST_EFFECT_S, lambda: not broker.runs() or "No space left" in broker.log())
        time.sleep(random.uniform(1.0, 3.0))
    finally:
        broker.free_disk()
        # One that lives on has taken its log offline.
        broker.crash()
        broker.start()
    return f"{taken} bytes filled the broker's disk"


FAULTS = [*faults_of("broker", lambda pipeline: pipeline.rig.broker), Fault("full broker disk", "broker", full_disk)]
