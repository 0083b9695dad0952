"""What can go wrong, one module for each part that it happens to. A fault proves that it took effect."""

from dataclasses import dataclass
from random import Random
from typing import Callable

from steps import Failed

from ..rig import Pipeline


# How long an effect is waited for: another fault may keep the parts from their work for a while.
LONGEST_EFFECT_S = 240


class NoEffect(Failed):
    """A fault that nothing has noticed: the round proves nothing."""


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong. `run` makes it, waits until it is over, and says by what it is seen to have happened."""

    name: str
    # Two faults of one part never happen at the same time.
    part: str
    run: Callable[[Pipeline, Random], str]


def every_fault() -> list[Fault]:
    from . import broker, database, exchange, pipeline, series, workers

    return [fault for module in (workers, broker, database, exchange, series, pipeline) for fault in module.FAULTS]


def faults_of_the_past(count: int, random: Random) -> list[Fault]:
    """What happens to days that are over, and to those who load them: the market itself is too calm for other faults."""
    from . import history, workers

    return [*history.FAULTS, *random.sample(workers.FAULTS, count - len(history.FAULTS))]


def faults_of_a_machine(count: int, random: Random) -> list[Fault]:
    """What happens to a pipeline of one process: it dies, and its exchange has faults."""
    from . import exchange, machine

    return [*machine.FAULTS, *random.sample(exchange.FAULTS, count - len(machine.FAULTS))]
