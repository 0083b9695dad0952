"""A pipeline of one process that dies, broker and all."""

from random import Random

from ..machine import Machine
from . import Fault


def kill(machine: Machine, _: Random) -> str:
    return machine.kill()


FAULTS = [Fault("kill -9 of cryptopipeline run", "process", kill)]
