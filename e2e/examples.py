#!/usr/bin/env python3
"""The three systems that examples take the place of: each on this machine, then on kind, with their queries, their consumers and
alerts that are provoked, while broker, database, exchange and consumers go away and come back.

Needs the testbed (eval "$(testbed/up all)"), the image (target/image/cryptopipeline.tar) and the programs:
examples.py --bin FOLDER [--only rest-mysql|ohlc-postgres|whales-scram]
"""

import argparse
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Callable

import simulator
from cluster import Namespace, load_image, use_testbed
from generated_market import SYMBOLS
from judge.snapshot import Unreachable
from prometheus import Prometheus
from steps import CHECKOUT, Failed, Test, command, wait_until
from systems import SYSTEMS, System, printed_by, rows_as_text

NAMESPACE = Namespace("examples")
kubectl = NAMESPACE.kubectl
# More than this is a lag here.
LAG_RECORDS = 20
# So that a node of two cores takes all of them.
SMALL_REQUESTS = "".join(f"  {role}: {{podTemplate: {{resources: {{requests: {{cpu: 10m, memory: 32Mi}}}}}}}}\n" for role in ("aggregators", "producers", "repair"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--only", choices=sorted(SYSTEMS))
    arguments = parser.parse_args()
    use_testbed()
    names = [arguments.only] if arguments.only else list(SYSTEMS)
    code = ExamplesTest(arguments.bin, names).verdict("the examples on kind")
    for name in names:
        print(f"e2e {name}: {'failed' if code else 'passed'}", flush=True)
    return code


class ExamplesTest(Test):
    """One run of some of them."""

    def __init__(self, programs: Path, names: list[str]) -> None:
        super().__init__()
        self.programs = programs.resolve()
        self.folder = CHECKOUT / "target/e2e-examples"
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.systems = [SYSTEMS[name](self.programs, self.folder / name) for name in names]
        values = ["--set", f"monitoring.rules.lagRecords={LAG_RECORDS}"]
        self.prometheus = Prometheus(self.folder / "prometheus", NAMESPACE, values, fires_after="2s")
        self.python = ""
        self.stopped: set[str] = set()

    def run(self) -> None:
        self.step("what their consumers need is installed", self.install_consumers)
        self.step("what other tests left under their names goes", lambda: self.each(System.forget))
        self.step("their exchanges are open", lambda: self.each(lambda system: system.market.start()))
        for system in self.systems:
            self.step(f"cryptopipeline run: {system.name}", lambda system=system: self.run_on_this_machine(system))
        self.step("the image is in the cluster", load_image)
        self.step("helm installs the operator", NAMESPACE.install_chart)
        for system in self.systems:
            self.step(f"examples/{system.name}.yaml is applied as its comment says", lambda system=system: self.apply(system))
        self.step("they become ready", lambda: self.each(self.becomes_ready))
        self.step("Prometheus looks at them", self.prometheus.start)
        self.step("connections to the exchange are cut, and made anew", lambda: self.each(self.cut_off))
        self.step("no exchange answers: the alert fires, and they go on", self.exchange_away)
        self.step("no consumer runs: the alert fires, and they go on where they were", self.consumers_away)
        self.step("consumers are killed, and others go on where they were", lambda: self.each(self.kill_consumers))
        self.step("the database is away: the alert fires, and they go on", self.database_away)
        self.step("the broker is away: the alert fires, and they go on", self.broker_away)
        self.step("their queries answer", lambda: self.each(self.queries_answer))
        self.step("their exchanges close, and everything is stored", self.end)
        for system in self.systems:
            self.step(f"{system.name}: what is stored and shown is what the exchange said", system.judge)
            self.step(f"{system.name}: a consumer of its topic reads what is stored, all of it and nothing else", lambda system=system: self.consume(system))
        self.step("the pipelines, the chart and what they stored go", self.leave)

    def each(self, deed: Callable[[System], None]) -> None:
        for system in self.systems:
            deed(system)

    def install_consumers(self) -> None:
        self.python = command(str(CHECKOUT / "e2e/python-tools"), "consumer").strip() + "/python"

    def run_on_this_machine(self, system: System) -> None:
        """With its Secrets in the same file, until every query of its page has rows."""
        secrets = [command("kubectl", *words, "--dry-run=client", "-o", "yaml") for words in system.secrets()]
        manifest = self.folder / f"{system.name}.yaml"
        manifest.write_text("\n---\n".join([system.manifest(), *secrets]), encoding="utf-8")
        manifest.chmod(0o600)
        with (self.folder / f"run-{system.name}.out").open("wb") as out:
            process = subprocess.Popen([self.programs / "cryptopipeline", "run", manifest], stdout=out, stderr=subprocess.STDOUT)
        try:
            wait_until("it stores something of every symbol", 90, lambda: stores(system, process))
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(timeout=90)
            manifest.unlink()
        if code != 0:
            raise Failed(f"it ended with {code}:\n{(self.folder / f'run-{system.name}.out').read_text(encoding='utf-8')}")
        system.forget()

    def apply(self, system: System) -> None:
        for words in system.secrets():
            # Two of them call a Secret alike, which is not the same.
            name = words[words.index("generic") + 1]
            words[words.index("generic") + 1] = f"{system.name}-{name}"
            kubectl(*words)
        manifest = system.manifest()
        for words in system.secrets():
            name = words[words.index("generic") + 1]
            manifest = manifest.replace(f"ecret: {{name: {name}}}", f"ecret: {{name: {system.name}-{name}}}")
        kubectl("apply", "-f", "-", stdin=manifest + SMALL_REQUESTS)

    def becomes_ready(self, system: System) -> None:
        kubectl("wait", "--for=condition=Ready", f"cpl/{system.name}", "--timeout=180s")
        system.goes_on()

    def cut_off(self, system: System) -> None:
        simulator.command(system.address(), "disconnect")
        simulator.command(system.address(), "fail_rest", status=503, for_ms=2_000)
        system.goes_on()

    def exchange_away(self) -> None:
        self.each(lambda system: simulator.command(system.address(), "restart", down_ms=30_000))
        self.fires("CryptoPipelineProducerDisconnected")
        self.each(System.goes_on)

    def consumers_away(self) -> None:
        self.each(lambda system: kubectl("patch", "cpl", system.name, "--type=merge", "-p", json.dumps({"spec": {"aggregators": {"replicas": 0}}})))
        self.fires("CryptoPipelineLag")
        self.each(lambda system: kubectl("patch", "cpl", system.name, "--type=merge", "-p", json.dumps({"spec": {"aggregators": {"replicas": None}}})))
        self.each(System.goes_on)

    def kill_consumers(self, system: System) -> None:
        kubectl("delete", "pod", "-l", f"app.kubernetes.io/instance={system.name},app.kubernetes.io/component=aggregator", "--grace-period=0", "--force")
        system.goes_on()

    def database_away(self) -> None:
        servers = sorted({system.database_server for system in self.systems})
        self.away(servers, "CryptoPipelineDatabaseAway")

    def broker_away(self) -> None:
        self.away(["kafka"], "CryptoPipelineBrokerAway")

    def away(self, servers: list[str], alert: str) -> None:
        for server in servers:
            self.stopped.add(server)
            command(str(CHECKOUT / f"testbed/parts/{server}"), "stop")
        self.fires(alert)
        self.start_again()
        self.each(System.goes_on)

    def start_again(self) -> None:
        for server in sorted(self.stopped):
            command(str(CHECKOUT / f"testbed/parts/{server}"), "start")
        self.stopped.clear()
        for system in self.systems:
            system.database.close()
            system.asked.close()

    def fires(self, alert: str) -> None:
        """For each of them, by the Prometheus that evaluates the chart's rules."""
        wished, fired = {system.name for system in self.systems}, set()

        def has_fired() -> bool:
            """Not of all of them at the same moment."""
            found = self.prometheus.query(f'ALERTS{{alertname="{alert}", alertstate="firing"}}')
            fired.update(labels["pipeline"] for labels, _ in found)
            return fired >= wished

        wait_until(f"{alert} fires", 120, has_fired)

    def queries_answer(self, system: System) -> None:
        wait_until(f"every query of docs/migrate/{system.name}.md has rows", 150, system.answers)
        for query in system.queries():
            print(f"   {query.splitlines()[0]}\n{rows_as_text(system.asked.query(query))}", flush=True)

    def end(self) -> None:
        self.each(lambda system: system.market.stop())
        for system in self.systems:
            kubectl("patch", "cpl", system.name, "--type=merge", "-p", json.dumps({"spec": {"suspend": True}}))
        for system in self.systems:
            wait_until(f"{system.name} is drained", 120, lambda system=system: NAMESPACE.conditions(system.name)["AggregatorsReady"]["reason"] == "Suspended")

    def consume(self, system: System) -> None:
        wished = system.printed()
        printed = printed_by(self.python, system.consumer(self.folder), wished, 120)
        if unknown := set(printed) - set(wished):
            raise Failed(f"{len(unknown)} records are not stored, such as {min(unknown)}")
        print(f"   {system.name}: {sum(printed.values())} records, {len(wished)} of them different", flush=True)

    def leave(self) -> None:
        for system in self.systems:
            kubectl("delete", "cpl", system.name, "--timeout=60s")
            NAMESPACE.wait_for_the_end_of(system.name)
            system.forget()
        NAMESPACE.leave()

    def show_what_happened(self) -> None:
        NAMESPACE.show_what_happened()
        for path in sorted(self.folder.glob("run-*.out")):
            print(f"--- {path.name}\n{path.read_text(encoding='utf-8')[-5_000:]}", flush=True)

    def clean_up(self) -> None:
        # Other tests need them.
        self.start_again()
        self.prometheus.stop()
        for system in self.systems:
            system.close()


def stores(system: System, process: subprocess.Popen) -> bool:
    if process.poll() is not None:
        raise Failed(f"cryptopipeline run ended by itself with {process.returncode}")
    try:
        for view in system.views:
            system.asked.query(f"SELECT * FROM {view} LIMIT 1")
        return set(system.newest()) == set(SYMBOLS)
    except Unreachable:
        # What its users know is about to be made.
        return False


if __name__ == "__main__":
    sys.exit(main())
