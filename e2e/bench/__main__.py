"""What the programs can do on this machine, each figure beside a limit measured in the same run.

Needs the testbed (eval "$(testbed/up api)" and services) and the programs, built for speed:  python3 -m bench --bin FOLDER --out FOLDER

- Producing: the producer on an exchange that sends as fast as it is read, beside a loop that only reads its frames.
- Catching up: the aggregator on a filled topic, without and with stored trades, beside a loop that only polls and beside
  a COPY of the same rows into the same table; and with MariaDB, beside its LOAD DATA.
- Latency: from the simulated exchange to a row that can be read, at a steady rate, and what each program takes of it.
- Repair: how long an hour that is missing takes beside what half of the exchange's request budget allows, and the latency of others meanwhile.
- The three examples that take the place of other systems, beside the figures that those claim for themselves.
- Memory: the largest resident size of each program.
Nothing is asserted: machines differ, and are shared. The figures go to OUT/figures.json too.
"""

import argparse
import json
import sys

from steps import program_arguments

from .examples import EXAMPLES, whales_as_fast_as_they_come
from .idle_operator import operator
from .latency import Pipeline, as_it_runs
from .rates import catch_up, produce
from .repair import repair
from .rig import Bench, say
from .tables import beside_limits, beside_systems


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trades", type=int, default=2_000_000, help="trades on the topic that is caught up with")
    parser.add_argument("--rounds", type=int, default=3, help="how often each rate is measured; the median counts")
    parser.add_argument("--rate", type=int, default=10_000, help="trades per second while latency is measured")
    parser.add_argument("--seconds", type=int, default=60, help="how long latency is measured")
    parser.add_argument("--missing", type=int, default=3_600, help="for how many seconds the trades of a symbol are missing, to be repaired")
    arguments = program_arguments(parser)
    bench = Bench(arguments.bin, arguments.out)
    figures = produce(bench, arguments.trades, arguments.rounds)
    figures |= catch_up(bench, arguments.trades, arguments.rounds)
    say(f"{arguments.rate} trades per second for {arguments.seconds} s")
    figures |= as_it_runs(bench, Pipeline("live", arguments.rate, {}, {}), arguments.seconds)
    say(f"{arguments.missing} s of a symbol are missing while others are traded")
    figures |= repair(bench, arguments.missing, arguments.rate, arguments.seconds)
    say("the operator with a pipeline on a bare control plane")
    figures |= operator(bench)
    for example in EXAMPLES:
        say(f"{example.name} for {arguments.seconds} s")
        figures |= as_it_runs(bench, example, arguments.seconds)
    say(f"whales-scram with {arguments.trades} trades as fast as they come")
    figures |= whales_as_fast_as_they_come(bench, arguments.trades)
    (arguments.out / "figures.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(beside_limits(figures), beside_systems(figures), sep="\n\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
