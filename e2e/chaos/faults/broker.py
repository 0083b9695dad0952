"""A broker that restarts, dies, is away, or has no room left."""

from random import Random

from steps import Failed, wait_until

from ..rig import Pipeline, until
from . import Fault, NoEffect


def restart(pipeline: Pipeline, _: Random) -> str:
    pipeline.rig.broker.stop()
    pipeline.rig.broker.start()
    return "the broker was stopped and started"


def crash(pipeline: Pipeline, _: Random) -> str:
    pipeline.rig.broker.crash()
    pipeline.rig.broker.start()
    return "the broker was killed and started"


def outage(least_s: float, most_s: float):
    def run(pipeline: Pipeline, random: Random) -> str:
        seconds = random.uniform(least_s, most_s)
        pipeline.rig.broker.stop()
        until(seconds)
        pipeline.rig.broker.start()
        return f"the broker was away for {seconds:.0f} s"

    return run


def full_disk(pipeline: Pipeline, random: Random) -> str:
    """Kafka ends itself when it cannot write; it is started again once there is room."""
    broker = pipeline.rig.broker
    taken = broker.fill_disk()
    try:
        wait_until("the broker notices that its disk is full", 60, lambda: not broker.runs() or "No space left" in broker.log())
        until(random.uniform(1.0, 3.0))
    except Failed as failure:
        raise NoEffect(str(failure)) from failure
    finally:
        broker.free_disk()
        # One that lives on has taken its log offline.
        broker.crash()
        broker.start()
    return f"{taken} bytes filled the broker's disk"


FAULTS = [
    Fault("broker restart", "broker", restart),
    Fault("broker crash", "broker", crash),
    Fault("broker away for seconds", "broker", outage(2, 6)),
    Fault("broker away for 30 s", "broker", outage(30, 30)),
    Fault("full broker disk", "broker", full_disk),
]
