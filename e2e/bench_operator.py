#!/usr/bin/env python3
"""One operator and very many CryptoPipelines: how long until all are reconciled once, and what it takes to keep them.

Needs the testbed (eval "$(testbed/up services)", chart and api) and the program, built for speed:  bench_operator.py --bin FOLDER --out FOLDER

Of a thousand resources 950 have a live broker and database, the testbed's, with a topic and a schema each; 50 have addresses where nobody
answers, half of them ports that refuse, half ports that take the connection and stay silent. Deployments are made and get their pods, but
no pod runs. The operator runs as a process, with the rights that the chart gives it and a token of its service account.

- First pass: from the operator's start until every live resource says TopicReady and SchemaReady True of its generation and has its three
  Deployments, and every dead one says Unknown of both, with the reason. Schemas and topics are then looked for in database and broker.
- Steady state: memory, processor time, connections, queries, and writes by the API server's own count (renewals of its Lease apart).
- A change: from the API server's answer to a changed spec until the changed Deployment can be read.

Times are told, not asserted. Asserted is that everybody is reconciled, that nothing is written in the steady state, that changes are acted on;
and, with a thousand resources, the memory.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator

from bench.rig import kubectl, say, unique
from demo import stop
from fleet import DeadServers, Fleet, Tables
from process import Process
from steps import CHECKOUT, Failed, apply_crd, command, program_arguments

FULL_SIZE = 1_000
MOST_MEMORY_MB = 150
LONGEST_PASS_S = 1_800
# Without a write for so long, what was on its way has arrived: texts of a status are renewed after a minute.
QUIET_S = 120
LONGEST_SETTLING_S = 900
LONGEST_CHANGE_S = 60
BETWEEN_REPORTS_S = 10
# After so long without a pod that is ready the controller manager says so in every Deployment.
PROGRESS_DEADLINE_S = 600


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resources", type=int, default=FULL_SIZE, help="how many CryptoPipelines; one in twenty is dead, and at least two are")
    parser.add_argument("--seconds", type=int, default=180, help="how long the steady state is watched")
    parser.add_argument("--leave", action="store_true", help="removes nothing: the testbed goes anyway")
    parser.add_argument("--changes", type=int, default=20, help="how many resources are changed, one after the other")
    arguments = program_arguments(parser)
    try:
        verdict = measure(arguments)
    except (Failed, subprocess.SubprocessError) as failure:
        print(f"FAILED {failure} {getattr(failure, 'stderr', None) or ''}", flush=True)
        return 1
    print(verdict, flush=True)
    return 0


def measure(arguments: argparse.Namespace) -> str:
    """The line that says it all."""
    with contextlib.ExitStack() as stack:
        dead = stack.enter_context(DeadServers())
        tables = stack.enter_context(contextlib.closing(Tables(os.environ["POSTGRES_URL"])))
        fleet = Fleet(unique("bench"), arguments.resources, dead, os.environ["KAFKA_BOOTSTRAP"], tables.url)
        fleet.must_be_alone()
        if not arguments.leave:
            stack.callback(fleet.remove)
        bench = OperatorBench(arguments, fleet, tables)
        say(f"{arguments.resources} CryptoPipelines are applied, {len(fleet.dead_at)} of them with addresses where nobody answers")
        apply_crd(kubectl)
        fleet.create()
        stack.enter_context(bench.operator())
        first_pass_s = bench.first_pass()
        bench.check_what_was_made()
        writes = bench.steady_state(arguments.seconds)
        change_ms = bench.changes(arguments.changes)
        peak_mb = bench.process.peak_mb()
        bench.tell("memory", f"{peak_mb:.0f} MB at most, {bench.steady_mb:.0f} MB in the steady state")
        if writes:
            raise Failed(f"{sum(writes.values())} writes in the steady state: {writes}")
        if arguments.resources >= FULL_SIZE and peak_mb >= MOST_MEMORY_MB:
            raise Failed(f"the operator took {peak_mb:.0f} MB, {MOST_MEMORY_MB} MB are allowed")
        print("\n".join(bench.figures), flush=True)
        say("cleaning up")
    return (
        f"operator: {arguments.resources} resources, first pass {first_pass_s:.0f} s, {peak_mb:.0f} MB, "
        f"{sum(writes.values()) * 60 // arguments.seconds} writes/min steady, change acted on in {change_ms:.0f} ms"
    )


class OperatorBench:
    """The operator, what it is given to do, and what is seen of it."""

    def __init__(self, arguments: argparse.Namespace, fleet: Fleet, tables: Tables) -> None:
        self.program = arguments.bin / "operator"
        self.out = arguments.out
        self.fleet = fleet
        self.tables = tables
        self.process: Process
        self.steady_mb = 0.0
        self.figures: list[str] = []
        self.began = 0.0

    def tell(self, what: str, figure: str) -> None:
        self.figures.append(f"{what:42} {figure}")

    def environment(self) -> dict[str, str]:
        """What the chart sets, as it is."""
        deployment = json.loads(command("kubectl", "create", "--dry-run=client", "-o", "json", "-f", "-", stdin=self.chart("operator.yaml")))
        variables = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
        return {variable["name"]: variable["value"] for variable in variables if "value" in variable}

    def chart(self, template: str) -> str:
        folder = str(CHECKOUT / "charts/cryptopipeline")
        return command("helm", "template", "cryptopipeline", folder, "--namespace", self.fleet.home, "--show-only", f"templates/{template}")

    @contextlib.contextmanager
    def operator(self) -> Iterator[None]:
        """The program with the chart's rights and variables, from now on."""
        line = [self.program, "--operator-namespace", self.fleet.home, "--listen", "127.0.0.1:0"]
        environment = os.environ | self.environment() | {"KUBECONFIG": str(self.kubeconfig()), "LOG_FORMAT": "text"}
        self.began = time.monotonic()
        with (self.out / "operator.log").open("wb") as log:
            running = subprocess.Popen(line, stdout=log, stderr=subprocess.STDOUT, env=environment)
        self.process = Process(running.pid)
        try:
            yield
        finally:
            stop(running, 60)

    def kubeconfig(self) -> Path:
        """That of the operator's service account."""
        command("kubectl", "apply", "-f", "-", stdin=self.chart("rbac.yaml"))
        token = command("kubectl", "--namespace", self.fleet.home, "create", "token", "cryptopipeline-operator", "--duration=4h").strip()
        config = json.loads(command("kubectl", "config", "view", "--raw", "-o", "json"))
        config["users"][0]["user"] = {"token": token}
        path = self.out / "kubeconfig"
        path.touch(mode=0o600)
        path.write_text(json.dumps(config), encoding="utf-8")
        return path

    def first_pass(self) -> float:
        """Seconds until every resource is reconciled once."""
        say("the first pass")
        reported = time.monotonic()
        with self.fleet.follow() as progress:
            while left := progress.left():
                self.process.must_live()
                now = time.monotonic()
                if now - self.began > LONGEST_PASS_S:
                    raise Failed(f"within {LONGEST_PASS_S} s {len(left)} were not reconciled: {', '.join(left[:10])}")
                if now - reported > BETWEEN_REPORTS_S:
                    reported = now
                    print(f"  {now - self.began:4.0f} s: {progress}; {self.process.summary()}; {self.tables.connections()} connections to the database", flush=True)
                time.sleep(0.1)
            live_s, dead_s = progress.took(self.began)
        self.tell("first pass of those with live addresses", f"{live_s:.1f} s ({len(self.fleet.live) / live_s:.1f} per second)")
        self.tell("first pass of the dead beside them", f"{dead_s:.1f} s")
        self.tell("processor time of the operator until then", f"{self.process.cpu_s():.0f} s")
        return max(live_s, dead_s)

    def check_what_was_made(self) -> None:
        """By those who hold it, not by the operator's word."""
        self.fleet.check_deployments()
        self.fleet.check_schemas(self.tables)
        self.fleet.check_topics()

    def steady_state(self, seconds: int) -> dict[str, int]:
        """The writes in so long a time, once nothing is on its way any more."""
        self.settle(seconds)
        say(f"the steady state, for {seconds} s")
        statuses = self.fleet.statuses()
        writes, requests, transactions = self.fleet.writes(), self.fleet.requests(), self.tables.transactions()
        cpu_s, began = self.process.cpu_s(), time.monotonic()
        connections, memory = [], []
        while time.monotonic() - began < seconds:
            time.sleep(min(BETWEEN_REPORTS_S, seconds))
            self.process.must_live()
            connections.append(self.connections())
            memory.append(self.process.memory_mb())
        took = time.monotonic() - began
        self.steady_mb = statistics.median(memory)
        self.tell("processor of the operator, steady", f"{(self.process.cpu_s() - cpu_s) / took:.1%} of one core, {self.process.threads()} threads")
        for name in connections[0]:
            self.tell(f"connections to the {name}", f"{max(sample[name] for sample in connections)} at most")
        self.tell("transactions at the database", f"{(self.tables.transactions() - transactions) / took:.0f} per second")
        self.tell("requests at the API server", f"{(self.fleet.requests() - requests) / took:.1f} per second, of whomever")
        written = {what: count - writes.get(what, 0) for what, count in self.fleet.writes().items() if count > writes.get(what, 0)}
        if written:
            self.show_changes(statuses, self.fleet.statuses())
        return written

    @staticmethod
    def show_changes(before: dict[str, dict], after: dict[str, dict]) -> None:
        """Whose status was written, and what it says now."""
        for pipeline, status in after.items():
            if status != before.get(pipeline):
                print(f"  {pipeline}: {json.dumps(before.get(pipeline))}\n    -> {json.dumps(status)}", flush=True)

    def connections(self) -> dict[str, int]:
        """Of the operator, by what they lead to."""
        ports = {"database": self.tables.port, "broker": int(os.environ["KAFKA_BOOTSTRAP"].rpartition(":")[2]), "API server": self.fleet.port}
        return {name: self.process.connections_to(port) for name, port in ports.items()}

    def settle(self, seconds: int) -> None:
        """Until nothing was written for a while, and no Deployment's deadline comes before the steady state has been watched."""
        began, quiet_since, before = time.monotonic(), time.monotonic(), self.fleet.writes()
        deadlines = [made_at + PROGRESS_DEADLINE_S for made_at in self.fleet.waiting_since()]
        while True:
            now = time.time()
            due = [deadline for deadline in deadlines if now - QUIET_S < deadline < now + seconds + QUIET_S]
            if time.monotonic() - quiet_since > QUIET_S and not due:
                return
            if time.monotonic() - began > LONGEST_SETTLING_S:
                raise Failed(f"something was still written {LONGEST_SETTLING_S} s after the first pass")
            waits = f"the last Deployment gives up on its pods in {max(due) - now:.0f} s" if due else f"no write for {time.monotonic() - quiet_since:.0f} s"
            print(f"  settling: {waits}; {self.process.summary()}", flush=True)
            time.sleep(BETWEEN_REPORTS_S)
            writes = self.fleet.writes()
            if writes != before:
                quiet_since, before = time.monotonic(), writes

    def changes(self, count: int) -> float:
        """Milliseconds until a change is acted on, at most."""
        say(f"{count} resources are changed, one after the other")
        names = self.fleet.live[:: max(1, len(self.fleet.live) // count)][:count]
        took = sorted(self.fleet.change(name, LONGEST_CHANGE_S) * 1_000 for name in names)
        self.tell("a change is acted on", f"{statistics.median(took):.0f} ms in the median, {took[-1]:.0f} ms at most, of {len(took)}")
        return took[-1]


if __name__ == "__main__":
    sys.exit(main())
