"""A broker or a database that restarts, dies, or is away for a while."""

import time
from random import Random
from typing import Callable

from ..rig import Pipeline
from ..services import Service
from . import Fault


def faults_of(name: str, service: Callable[[Pipeline], Service]) -> list[Fault]:
    """What can happen to either of them."""

    def restart(pipeline: Pipeline, _: Random) -> str:
        service(pipeline).stop()
        service(pipeline).start()
        return f"the {name} was stopped and started"

    def crash(pipeline: Pipeline, _: Random) -> str:
        service(pipeline).crash()
        service(pipeline).start()
        return f"the {name} was killed and started"

    def outage(least_s: float, most_s: float):
        def run(pipeline: Pipeline, random: Random) -> str:
            seconds = random.uniform(least_s, most_s)
            service(pipeline).stop()
            time.sleep(seconds)
            service(pipeline).start()
            return f"the {name} was away for {seconds:.0f} s"

        return run

    return [
        Fault(f"{name} restart", name, restart),
        Fault(f"{name} crash", name, crash),
        Fault(f"{name} away for seconds", name, outage(2, 6)),
        Fault(f"{name} away for 30 s", name, outage(30, 30)),
    ]
