#!/usr/bin/env python3
"""What is promised of a pipeline in words, one by one, on real parts: see the steps of the two tests below.

usage: promises.py --bin FOLDER --out FOLDER [--only calm|heavy]

It needs the testbed's control plane (KUBECONFIG_API), and root; a broker and a database it brings up itself.
"""

import argparse
import json
import re
import sys
import time
import urllib.request
from pathlib import Path

from chaos.node import Pod
from chaos.rig import Pipeline, Rig, Variant
from chaos.round import Outcome, judge, wait_until_whole
from steps import SWITCHED_PROGRAMS, Failed, Test, program_arguments, wait_until

# More trades a second than a producer can keep for long while the broker is away.
HEAVY = {"BTCUSDT": 3000, "ETHUSDT": 1500, "SOLUSDT": 500}
# What a producer may hold back: its own queue and librdkafka's, some 40 MiB, and as much again for buffers on the way.
PRODUCER_GROWTH_MIB = 96
AGGREGATOR_GROWTH_MIB = 48


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("calm", "heavy"), help="one of the two tests")
    arguments = program_arguments(parser, SWITCHED_PROGRAMS)
    with Rig(arguments.bin, arguments.out) as rig:
        failed = 0
        if arguments.only != "heavy":
            failed = Calm(Pipeline(rig, rig.out / "calm", 1, Variant())).verdict("promises")
        if arguments.only != "calm" and not failed:
            variant = Variant(partitions=3, replicas=8, market=HEAVY)
            failed = Heavy(Pipeline(rig, rig.out / "heavy", 2, variant)).verdict("promises under load")
        return failed


class Promises(Test):
    """Steps with one pipeline, which is judged at the end."""

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__()
        self.pipeline = pipeline
        self.exchange = pipeline.exchange

    def begin(self) -> None:
        self.pipeline.begin()
        wait_until("two producers stream", 90, lambda: len(self.streaming()) == 2)
        self.wait_for("DataContinuous", "True")

    def everything_is_true(self) -> None:
        outcome = Outcome()
        self.exchange.end_trading()
        wait_until_whole(self.pipeline, outcome)
        self.pipeline.end()
        judge(self.pipeline, outcome)
        print(f"   {outcome.trades} trades, {outcome.claims} claims in {outcome.samples} samples", flush=True)
        wrong = [*outcome.failures, *outcome.problems, *outcome.false_claims]
        if wrong:
            raise Failed("\n".join(wrong[:10]))

    def wait_for(self, kind: str, status: str, *words: str) -> None:
        def holds() -> bool:
            told = self.pipeline.told(kind)
            return told.get("status") == status and all(word in f"{told['reason']} {told['message']}" for word in words)

        try:
            wait_until(f"{kind} is {status} {' '.join(words)}", 90, holds)
        except Failed as failure:
            raise Failed(f"{failure}; it is {self.pipeline.told(kind)}") from failure
        told = self.pipeline.told(kind)
        print(f"   {kind}={told['status']}: {told['reason']}: {told['message']}", flush=True)

    def streaming(self) -> list[Pod]:
        """Producers whose every symbol has had trades since they started."""
        return [pod for pod in self.pipeline.node.ready("producer") if is_streaming(pod)]

    def repaired(self) -> int:
        return sum(worker_status(pod).get("tradesRepaired", 0) for pod in self.pipeline.node.running("repairer"))

    def clean_up(self) -> None:
        self.pipeline.end()
        self.pipeline.remove()


class Calm(Promises):
    """Redundancy, what is missing and why, and what is no loss at all."""

    def run(self) -> None:
        self.step("a pipeline begins and is continuous", self.begin)
        self.step("losing either of two producers loses nothing, and neither do rotations", self.lose_producers)
        self.step("what the exchange did not send is named with its ids while it cannot be asked", self.blocked_repair)
        self.step("a subscription that died is told", self.dead_subscription)
        self.step("a halted symbol is told, and is no loss", self.halted_symbol)
        self.step("an exchange that is away is told", self.exchange_away)
        self.step("a broker that is away is told", self.broker_away)
        self.step("a database that is away is told", self.database_away)
        self.step("every trade is there once, every claim was true", self.everything_is_true)

    def lose_producers(self) -> None:
        before = self.repaired()
        for pod in self.streaming():
            print(f"   {self.pipeline.kill(pod)}", flush=True)
            wait_until("two producers stream again", 60, lambda: len(self.streaming()) == 2)
        rotations = {pod.name: worker_status(pod).get("reconnects", 0) for pod in self.streaming()}
        wait_until("every connection has been rotated", 60, lambda: all(worker_status(pod).get("reconnects", 0) > rotations[pod.name] for pod in self.streaming()))
        self.wait_for("DataContinuous", "True")
        if self.repaired() != before:
            raise Failed(f"{self.repaired() - before} trades had to be repaired")

    def blocked_repair(self) -> None:
        self.exchange.command("fail_rest", status=503, for_ms=600_000)
        last_id = self.exchange.symbols()["SOLUSDT"]["last_played_id"]
        first_id, last_id = last_id + 50, last_id + 129
        self.exchange.command("withhold_trades", symbol="SOLUSDT", first_id=first_id, last_id=last_id)
        self.wait_for("DataContinuous", "False", "TradesMissing", f"SOLUSDT misses 80 trades (ids {first_id}..{last_id})")
        self.exchange.command("fail_rest", status=503, for_ms=0)
        self.wait_for("DataContinuous", "True")
        if self.repaired() < 80:
            raise Failed("nobody has repaired them")

    def dead_subscription(self) -> None:
        self.exchange.command("stall", symbol="ADAUSDT", stalled=True)
        self.wait_for("DataFlowing", "False", "SymbolSilent", "ADAUSDT")
        # The exchange's own ids go on, so that nothing is lost meanwhile.
        self.exchange.command("stall", symbol="ADAUSDT", stalled=False)
        self.wait_for("DataFlowing", "True")
        self.wait_for("DataContinuous", "True")

    def halted_symbol(self) -> None:
        self.exchange.command("set_status", symbol="BTCUSDT", status="HALT")
        self.wait_for("DataFlowing", "False", "SymbolNotTrading", "BTCUSDT")
        self.wait_for("DataContinuous", "True")
        self.exchange.command("set_status", symbol="BTCUSDT", status="TRADING")
        self.wait_for("DataFlowing", "True")

    def exchange_away(self) -> None:
        self.exchange.command("refuse_connections", for_ms=600_000)
        self.exchange.command("disconnect")
        self.wait_for("DataFlowing", "False", "ExchangeUnreachable")
        self.exchange.command("refuse_connections", for_ms=0)
        self.wait_for("DataFlowing", "True")
        self.wait_for("DataContinuous", "True")

    def broker_away(self) -> None:
        self.pipeline.rig.broker.stop()
        self.wait_for("DataFlowing", "False", "WorkersBlocked", "the broker")
        self.pipeline.rig.broker.start()
        self.wait_for("DataFlowing", "True")

    def database_away(self) -> None:
        self.pipeline.database.stop()
        self.wait_for("DataContinuous", "Unknown", "DatabaseUnreachable")
        self.wait_for("DataFlowing", "False", "WorkersBlocked", "the database")
        self.pipeline.database.start()
        self.wait_for("DataFlowing", "True")
        self.wait_for("DataContinuous", "True")


class Heavy(Promises):
    """Bounded buffers, and partitions that grow under load."""

    def run(self) -> None:
        self.step("a pipeline begins and is continuous", self.begin)
        self.step("a database that is away makes no aggregator grow", self.database_away)
        self.step("partitions grow from 3 to 8, and no producer starts anew", self.grow)
        self.step("a broker that is away makes no producer grow, and what it dropped is counted and repaired", self.broker_away)
        self.step("every trade is there once, every claim was true", self.everything_is_true)

    def database_away(self) -> None:
        before = memory_mib(self.pipeline.node.running("aggregator"))
        self.pipeline.database.stop()
        played = self.exchange.trades_played()
        wait_until("100,000 trades have come meanwhile", 120, lambda: self.exchange.trades_played() > played + 100_000)
        after = memory_mib(self.pipeline.node.running("aggregator"))
        self.pipeline.database.start()
        self.compare_memory(before, after, AGGREGATOR_GROWTH_MIB)
        self.wait_for("DataContinuous", "True")

    def grow(self) -> None:
        starts = {pod.name: pod.starts for pod in self.pipeline.node.running("producer")}
        begun = time.monotonic()
        self.pipeline.patch({"kafka": {"topic": {"partitions": 8}}})
        wait_until("8 partitions are assigned", 120, lambda: self.assigned() == 8)
        print(f"   balanced after {time.monotonic() - begun:.1f} s", flush=True)
        self.wait_for("DataContinuous", "True")
        if starts != {pod.name: pod.starts for pod in self.pipeline.node.running("producer")}:
            raise Failed("a producer was started anew")

    def broker_away(self) -> None:
        before = memory_mib(self.pipeline.node.running("producer"))
        self.pipeline.rig.broker.stop()
        wait_until("every producer has had to drop trades", 180, lambda: all(worker_status(pod).get("recordsDropped", 0) > 0 for pod in self.pipeline.node.running("producer")))
        after = memory_mib(self.pipeline.node.running("producer"))
        self.pipeline.rig.broker.start()
        self.compare_memory(before, after, PRODUCER_GROWTH_MIB)
        wait_until("what was dropped is being repaired", 120, lambda: self.repaired() > 0)
        self.wait_for("DataContinuous", "True")

    def assigned(self) -> int:
        return sum(len(worker_status(pod).get("partitions", [])) for pod in self.pipeline.node.ready("aggregator"))

    def compare_memory(self, before: dict[str, float], after: dict[str, float], growth_mib: int) -> None:
        for name, mib in after.items():
            print(f"   {name}: {before.get(name, 0):.0f} MiB before, {mib:.0f} MiB after", flush=True)
            if mib > before.get(name, mib) + growth_mib:
                raise Failed(f"{name} has grown by more than {growth_mib} MiB")


def worker_status(pod: Pod) -> dict:
    """What it tells of itself; nothing where it does not answer."""
    try:
        with urllib.request.urlopen(f"http://{pod.address}:8080/status", timeout=5) as answer:
            return json.load(answer)
    except OSError:
        return {}


def is_streaming(pod: Pod) -> bool:
    states = [symbol["state"] for symbol in worker_status(pod).get("symbols", {}).values()]
    return bool(states) and all(state == "streaming" for state in states)


def memory_mib(pods: list[Pod]) -> dict[str, float]:
    """Resident memory by pod."""
    found = {}
    for pod in pods:
        text = Path(f"/proc/{pod.process.pid}/status").read_text(encoding="utf-8")
        found[pod.name] = int(re.search(r"VmRSS:\s+(\d+) kB", text).group(1)) / 1024
    return found


if __name__ == "__main__":
    sys.exit(main())
