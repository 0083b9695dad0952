"""Which faults a round has, and when: from its seed alone, so that a round can be played again."""

from dataclasses import dataclass, field
from random import Random

from .faults import Fault, every_fault, faults_of_a_machine, faults_of_the_past
from .market import CALM_MARKET
from .rig import Variant

# Faults begin within this part of the round, so that what they leave behind meets more trades.
FAULTS_BEGIN_S = (2, 16)
FAULTS_PER_ROUND = 5
# How many of the fixed rounds are those of one machine, and of a market that lies mostly in the past.
MACHINE_ROUNDS = 2
PAST_ROUNDS = 1
# All of yesterday, and half a day before it at least, whenever the round is played.
PAST = Variant(market=CALM_MARKET, past_h=60, intervals=["5m", "1h"])
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
    variant: Variant = field(default_factory=Variant)


def random_round(seed: int) -> Schedule:
    """Faults drawn from all kinds."""
    random = Random(seed)
    on_machine = random.random() < 0.1
    if on_machine:
        faults = faults_of_a_machine(FAULTS_PER_ROUND, random)
    else:
        kinds = [fault for fault in every_fault() if fault.name not in LONG or random.random() < 0.1]
        faults = random.sample(kinds, FAULTS_PER_ROUND)
    variant = Variant(on_mariadb=not on_machine and random.random() < 0.25)
    return _plan(seed, faults, random, f"make chaos SEED={seed} ROUNDS=1", on_machine, variant)


def fixed_rounds(count: int) -> list[Schedule]:
    """Rounds that have every kind of fault between them, the same ones every time."""
    kinds = every_fault()
    Random(0).shuffle(kinds)
    in_cluster = max(1, count - MACHINE_ROUNDS - PAST_ROUNDS)
    dealt = [(kinds[number::in_cluster], Random(number + 1)) for number in range(in_cluster)]
    for faults, random in dealt:
        spare = [fault for fault in kinds if fault not in faults and fault.name not in LONG]
        faults += random.sample(spare, max(0, FAULTS_PER_ROUND - len(faults)))
    on_mariadb = _on_mariadb([faults for faults, _ in dealt])
    rounds = []
    for number, (faults, random) in enumerate(dealt, start=1):
        variant = Variant(on_mariadb=number in on_mariadb)
        rounds.append(_plan(number, faults, random, f"make chaos FIXED={number}", variant=variant))
    for number in range(in_cluster + 1, count + 1):
        random = Random(number)
        in_the_past = number <= in_cluster + PAST_ROUNDS
        faults = (faults_of_the_past if in_the_past else faults_of_a_machine)(FAULTS_PER_ROUND, random)
        variant = PAST if in_the_past else Variant()
        rounds.append(_plan(number, faults, random, f"make chaos FIXED={number}", not in_the_past, variant))
    return rounds


def _on_mariadb(rounds: list[list[Fault]]) -> set[int]:
    """By number: of each fault of a database, the last round of those that have it. In the others it happens to PostgreSQL, as it does if there
    is one only."""
    having: dict[str, list[int]] = {}
    for number, faults in enumerate(rounds, start=1):
        for fault in faults:
            if fault.part == "database":
                having.setdefault(fault.name, []).append(number)
    return {numbers[-1] for numbers in having.values() if len(numbers) > 1}


def _plan(seed: int, faults: list[Fault], random: Random, again: str, on_machine: bool = False, variant: Variant = Variant()) -> Schedule:
    planned = [Planned(random.uniform(*FAULTS_BEGIN_S), fault, random.getrandbits(32)) for fault in faults]
    return Schedule(seed, sorted(planned, key=lambda fault: fault.at_s), again, on_machine, variant)
