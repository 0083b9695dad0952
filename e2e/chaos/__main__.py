"""The fault campaign.

usage: python3 -m chaos --bin FOLDER --out FOLDER [--seed SEED] [--rounds ROUNDS] [--fixed]

Every round makes a pipeline of real parts, plays at least 20,000 trades, breaks things at random, and judges every claim
five times a second and everything at the end. It needs the testbed's control plane (KUBECONFIG_API); a broker and
databases it brings up itself. Exit 1 where anything was missing, doubled, wrong or falsely claimed, or could not be
tested, with the seed that plays the failing round again.
"""

import argparse
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

from steps import SWITCHED_PROGRAMS, Failed, program_arguments

from .rig import Rig
from .round import Outcome, play
from .schedule import Schedule, fixed_rounds, random_round

SHOWN_PROBLEMS = 10


def main() -> int:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="of the first round; each further one has the next")
    parser.add_argument("--rounds", type=int, default=20, help="how many")
    parser.add_argument("--fixed", action="store_true", help="the same rounds every time, with all kinds of faults between them")
    parser.add_argument("--only", type=int, nargs="+", help="of the fixed rounds, only these")
    arguments = program_arguments(parser, SWITCHED_PROGRAMS)
    return report(campaign(wanted_rounds(arguments), arguments.bin, arguments.out))


def wanted_rounds(arguments: argparse.Namespace) -> list[Schedule]:
    if not arguments.fixed:
        return [random_round(arguments.seed + number) for number in range(arguments.rounds)]
    rounds = fixed_rounds(arguments.rounds)
    return rounds if arguments.only is None else [rounds[number - 1] for number in arguments.only]


def campaign(rounds: list[Schedule], programs: Path, out: Path) -> list[Outcome]:
    outcomes = []
    with Rig(programs, out, any(schedule.variant.on_mariadb for schedule in rounds)) as rig:
        for number, schedule in enumerate(rounds, start=1):
            names = ", ".join(f"{planned.fault.name} at {planned.at_s:.0f} s" for planned in schedule.faults)
            database = " on MariaDB" if schedule.variant.on_mariadb else ""
            print(f"== round {number} of {len(rounds)}{database}, seed {schedule.seed}: {names}", flush=True)
            begun = time.monotonic()
            folder = out / f"round-{number}"
            outcome = play(rig, schedule, folder)
            outcomes.append(outcome)
            tell(outcome, time.monotonic() - begun)
            if outcome.passed():
                shutil.rmtree(folder)
                continue
            print(f"play this round again: {schedule.again}; its logs are in {folder}", flush=True)
    return outcomes


def tell(outcome: Outcome, took_s: float) -> None:
    for name, seen in outcome.evidence:
        print(f"   {name}: {seen}", flush=True)
    for title, lines in (("FAILED", outcome.failures), ("WRONG", outcome.problems), ("FALSE CLAIM", outcome.false_claims)):
        for line in lines[:SHOWN_PROBLEMS]:
            print(f"   {title} {line}", flush=True)
        if len(lines) > SHOWN_PROBLEMS:
            print(f"   {title} and {len(lines) - SHOWN_PROBLEMS} more", flush=True)
    word = "ok" if outcome.passed() else "FAILED"
    print(f"{word}: {outcome.trades} trades, {outcome.claims} claims in {outcome.samples} samples, whole {outcome.settled_in_s:.0f} s after the last fault ({took_s:.0f} s)", flush=True)


def report(outcomes: list[Outcome]) -> int:
    kinds = Counter(name for outcome in outcomes for name, _ in outcome.evidence)
    print("\nfaults by kind")
    for name, count in sorted(kinds.items()):
        print(f"  {count:4} {name}")
    doubled = sum(1 for outcome in outcomes for problem in outcome.problems if "twice" in problem)
    wrong = sum(len(outcome.problems) for outcome in outcomes) - doubled
    claims = sum(len(outcome.false_claims) for outcome in outcomes)
    print(
        f"chaos: {len(outcomes)} rounds, {kinds.total()} faults, {sum(outcome.trades for outcome in outcomes)} trades: "
        f"{sum(outcome.missing for outcome in outcomes)} missing, {doubled} doubled, {wrong} wrong, {claims} false claims"
    )
    failed = sum(1 for outcome in outcomes if not outcome.passed())
    if failed:
        print(f"{failed} of {len(outcomes)} rounds failed")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as failure:
        sys.exit(f"chaos: {failure}")
