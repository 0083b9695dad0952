"""Which faults a round has, and when: from its seed alone, so that a round can be played again."""

from dataclasses import dataclass
from random import Random

from .faults import Fault, every_fault, faults_of_a_machine

# Faults begin within this part of the round, so that what they leave behind meets more trades.
FAULTS_BEGIN_S = (2, 16)
FAULTS_PER_ROUND = 5
# How many of the fixed rounds are those of one machine.
MACHINE_ROUNDS = 2
# Not in every round by chance: they take half a minute each.
LONG = ("broker away for 30 s", "database away for 30 s")


@dataclass(frozen=True)
class Planned:
    """A fault, and when it begins after the first trades are held."""

    at_s: float
    fault: Fault
    seed: int


@dataclass(frozen=True)
class Schedule:
    """One round."""

    seed: int
    faults: list[Planned]
    # The command that plays it again.
    again: str
    # One process with an embedded broker and SQLite, instead of a cluster.
    on_machine: bool = False


def random_round(seed: int) -> Schedule:
    """Faults drawn from all kinds."""
    random = Random(seed)
    on_machine = random.random() < 0.1
    if on_machine:
        faults = faults_of_a_machine(FAULTS_PER_ROUND, random)
    else:
        kinds = [fault for fault in every_fault() if fault.name not in LONG or random.random() < 0.1]
        faults = random.sample(kinds, FAULTS_PER_ROUND)
    return _plan(seed, faults, random, f"make chaos SEED={seed} ROUNDS=1", on_machine)


def fixed_rounds(count: int) -> list[Schedule]:
    """Rounds that have every kind of fault between them, the same ones every time."""
    kinds = every_fault()
    Random(0).shuffle(kinds)
    in_cluster = max(1, count - MACHINE_ROUNDS)
    dealt = [kinds[number::in_cluster] for number in range(in_cluster)]
    rounds = []
    for number, faults in enumerate(dealt, start=1):
        random = Random(number)
        spare = [fault for fault in kinds if fault not in faults and fault.name not in LONG]
        faults = faults + random.sample(spare, max(0, FAULTS_PER_ROUND - len(faults)))
        rounds.append(_plan(number, faults, random, f"make chaos FIXED={number}", on_machine=False))
    for number in range(in_cluster + 1, count + 1):
        random = Random(number)
        faults = faults_of_a_machine(FAULTS_PER_ROUND, random)
        rounds.append(_plan(number, faults, random, f"make chaos FIXED={number}", on_machine=True))
    return rounds


def _plan(seed: int, faults: list[Fault], random: Random, again: str, on_machine: bool) -> Schedule:
    planned = [Planned(random.uniform(*FAULTS_BEGIN_S), fault, random.getrandbits(32)) for fault in faults]
    return Schedule(seed, sorted(planned, key=lambda fault: fault.at_s), again, on_machine)
