#!/usr/bin/env python3
"""The README's own commands and the examples, line by line, as a user would run them.

readme.py machine [--recording FILE]   what needs nothing but this machine; the recording stands in for the README's
readme.py kind                         the section "On kind" and what comes after, in the testbed's cluster
                                       (eval "$(testbed/up kind)"), in the namespace default

Where a command cannot run as it is, it is replaced by name, here; a README that says otherwise fails.
"""

import argparse
import base64
import csv
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import demo
from cluster import DEFINITION, Namespace, use_testbed
from documents import DEMO_OF_A_RECORDING, EXAMPLES, ON_KIND, ON_THIS_MACHINE, RUN_LOCAL
from documents import commands_of_example, every_command_is_run, section_of_readme
from steps import CHECKOUT, Failed, Test, command, wait_until

TARGET = Path(os.environ.get("CARGO_TARGET_DIR", "target"))
# Where `make plugin` installs it, in place of the home of whoever runs this.
INSTALLED = CHECKOUT / "target/e2e-readme-bin"
PROGRAMS = (CHECKOUT / TARGET / "debug").resolve()
SYMBOLS = {"BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "ADAUSDT"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("where", choices=["machine", "kind"])
    parser.add_argument("--recording", type=Path)
    arguments = parser.parse_args()
    if arguments.where == "machine":
        return OnThisMachine(arguments.recording).verdict("the README on this machine")
    use_testbed()
    return OnKind().verdict("the README on kind")


class OnThisMachine(Test):
    """The demo, and the example for one machine."""

    def __init__(self, recording: Path | None) -> None:
        super().__init__()
        self.recording = recording
        self.folder = CHECKOUT / "target/e2e-readme"
        self.processes: list[subprocess.Popen] = []

    def run(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "examples").mkdir(parents=True)
        self.step("a test runs every command that README and examples show", every_command_is_run)
        if self.recording:
            self.step(DEMO_OF_A_RECORDING, self.demo_of_a_recording)
        for line in section_of_readme(ON_THIS_MACHINE):
            self.step(line, lambda line=line: self.readme_line(line))
        start, candles = commands_of_example("local.yaml")
        if start != RUN_LOCAL:
            raise Failed(f"examples/local.yaml shows {start}, the README {RUN_LOCAL}")
        self.step(start, lambda: self.run_local(start))
        self.step(candles, lambda: expect_candles(output_of(candles, self.folder), SYMBOLS))
        start, candles = commands_of_example("history.yaml")
        self.step(start, lambda: self.run_history(start))
        self.step(candles, lambda: expect_candles(output_of(candles, self.folder), {"BTCUSDT"}, "1d"))

    def demo_of_a_recording(self) -> None:
        words = shlex.split(DEMO_OF_A_RECORDING)
        run(shlex.join([*words[:-1], f"TRADES={self.recording}"]))

    def readme_line(self, line: str) -> None:
        if "CARGO_TARGET_DIR" in os.environ:
            line = line.replace("target/debug/", f"{PROGRAMS}/")
        if " candles " in line:
            expect_candles(output_of(line), SYMBOLS)
        elif " gaps " in line:
            expect_no_gaps(output_of(line), SYMBOLS)
        else:
            run(line)

    def run_local(self, line: str) -> None:
        self.run_example("local", line, [], "it is ready and trades flow", r"(?ms)^Ready=True .*^[1-9]\d* trades ")

    def run_history(self, line: str) -> None:
        """Few trades, since today's come one request after the other."""
        arguments = ["--history", "3d", "--generate", "BTCUSDT=0.05/s"]
        self.run_example("history", line, arguments, "its history is there", r"(?m)^DataContinuous=True ")

    def run_example(self, name: str, line: str, simulator: list[str], wished: str, said_then: str) -> None:
        """With the simulated exchange in Binance's place, until Ctrl-C."""
        address = self.start_simulator(name, simulator)
        manifest = (EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8")
        exchange = "    exchange: binance\n"
        if manifest.count(exchange) != 1:
            raise Failed(f"examples/{name}.yaml has not the one source that this test moves to the simulator")
        addresses = f"websocket: 'ws://{address}', rest: 'http://{address}', dumps: 'http://{address}'"
        endpoints = f"    venue: simulated\n    endpoints: {{{addresses}}}\n"
        (self.folder / f"examples/{name}.yaml").write_text(manifest.replace(exchange, exchange + endpoints), encoding="utf-8")
        process = self.start(f"run-{name}", shlex.split(line))

        def is_said() -> bool:
            said = (self.folder / f"run-{name}.log").read_text(encoding="utf-8")
            if process.poll() is not None:
                raise Failed(f"{line} ended by itself:\n{said}")
            return re.search(said_then, said) is not None

        wait_until(wished, 120, is_said)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
        summary = (self.folder / f"run-{name}.out").read_text(encoding="utf-8")
        print(summary, end="", flush=True)
        if process.returncode != 0 or not re.match(r"[1-9]\d* trades new, [1-9]\d* held, 0 missing\n", summary):
            raise Failed(f"{line} ended with {process.returncode} and not with the summary of what it did")

    def start_simulator(self, name: str, arguments: list[str]) -> str:
        simulator = self.start(f"exchange-sim-{name}", ["exchange-sim", "--listen", "127.0.0.1:0", *arguments])
        return demo.wait_for_address(simulator, self.folder / f"exchange-sim-{name}.out")

    def start(self, name: str, line: list[str]) -> subprocess.Popen:
        """Standard output goes to NAME.out, errors to NAME.log."""
        with (self.folder / f"{name}.out").open("wb") as out, (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(line, cwd=self.folder, env=user_environment(), stdout=out, stderr=log)
        self.processes.append(process)
        return process

    def show_what_happened(self) -> None:
        for path in sorted([*self.folder.glob("*.out"), *self.folder.glob("*.log")]):
            print(f"--- {path.name}\n{path.read_text(encoding='utf-8')}", flush=True)

    def clean_up(self) -> None:
        for process in self.processes:
            demo.stop(process)


class OnKind(Test):
    """The demo of the chart, the quickstart in it, and the example for Binance beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.default = Namespace("default")
        self.beside = Namespace("binance")

    def run(self) -> None:
        self.step("a test runs every command that README and examples show", every_command_is_run)
        for line in readme_on_this_cluster():
            self.step(line, lambda line=line: run(line))
        self.step("what the chart's notes tell to run works", self.run_notes)
        self.step("examples/binance.yaml is applied as its comment says", self.apply_binance)
        self.step("candles of every symbol are in the demo's database", self.candles_are_there)
        self.step("every condition of the quickstart is good", self.conditions_are_good)
        self.step("the exchange that examples/binance.yaml reads is judged", self.binance_is_judged)
        self.step("kubectl get cpl prints every column", self.columns_are_printed)
        self.step("no pod restarted", self.no_pod_restarted)
        self.step("the pipelines, the chart and what it stored go", self.leave)

    def run_notes(self) -> None:
        notes = command("helm", "get", "notes", "cryptopipeline").replace("\\\n", "")
        lines = re.findall(r"^  ((?:kubectl|helm) .*)$", notes, re.M)
        if not lines:
            raise Failed(f"no command in the chart's notes:\n{notes}")
        for line in lines:
            print(f"$ {line}", flush=True)
            run(line.replace(" NAME", " quickstart"))

    def candles_are_there(self) -> None:
        query = "SELECT DISTINCT symbol || ' ' || interval FROM market.candles_by_symbol"
        wished = {f"{symbol} {interval}" for symbol in SYMBOLS for interval in ("1m", "5m")}
        wait_until("every symbol has candles", 60, lambda: set(self.psql(query).splitlines()) == wished)

    def psql(self, query: str) -> str:
        return self.default.kubectl("exec", "postgres-0", "--", "psql", "-U", "market", "--no-align", "--tuples-only", "-c", query)

    def conditions_are_good(self) -> None:
        wished = dict.fromkeys(["SpecValid", "TopicReady", "SchemaReady", "ProducersReady", "AggregatorsReady", "DataFlowing", "Ready"], "True")
        wished |= {"Reconciling": "False", "Stalled": "False"}

        def are_good() -> bool:
            found = {kind: condition["status"] for kind, condition in self.default.conditions("quickstart").items()}
            if found.get("DataContinuous") == "False":
                raise Failed("trades of the quickstart are missing")
            return wished.items() <= found.items()

        wait_until(f"the quickstart's conditions are {wished}", 60, are_good)

    def apply_binance(self) -> None:
        """In a namespace of its own, where the Secret can be made, and the name kafka leads to the demo's broker."""
        command("kubectl", "create", "namespace", self.beside.name)
        self.beside.kubectl("create", "service", "externalname", "kafka", "--external-name=kafka.default.svc.cluster.local")
        secret, apply = commands_of_example("binance.yaml")
        placeholder = "postgres://USER:PASSWORD@HOST:5432/DATABASE"
        if placeholder not in secret:
            raise Failed(f"examples/binance.yaml has another placeholder than this test fills: {secret}")
        url = self.default.kubectl("get", "secret", "postgres", "-o", "jsonpath={.data.uri}")
        config = CHECKOUT / "target/e2e-readme-kubeconfig"
        config.write_text(command("kubectl", "config", "view", "--raw", "--flatten"), encoding="utf-8")
        config.chmod(0o600)
        command("kubectl", "config", "set-context", "--current", f"--namespace={self.beside.name}", f"--kubeconfig={config}")
        for line in (secret.replace(placeholder, base64.b64decode(url).decode()), apply):
            run(line, KUBECONFIG=str(config))

    def binance_is_judged(self) -> None:
        """Topic and schema are there. Trades come where Binance is to be reached, else the status names what is wrong."""
        for kind in ("SpecValid", "TopicReady", "SchemaReady"):
            self.beside.kubectl("wait", f"--for=condition={kind}", "cpl/binance", "--timeout=120s")

        def is_judged() -> bool:
            flowing = self.beside.conditions("binance")["DataFlowing"]
            if flowing["status"] == "True":
                return self.psql("SELECT sum(trades_held) > 0 FROM binance.symbol_head").strip() == "t"
            return flowing["reason"] == "ExchangeUnreachable" and "source binance" in flowing["message"]

        wait_until("trades come from Binance or it is told to be unreachable", 120, is_judged)
        print(f"   {self.beside.conditions('binance')['DataFlowing']['message']}", flush=True)

    def columns_are_printed(self) -> None:
        wished = ["quickstart", "True", "AllReady", str(len(SYMBOLS)), "3", "3"]

        def all_are_printed() -> bool:
            header, row = self.default.kubectl("get", "cpl").splitlines()
            names, cells = header.split(), row.split()
            if names != ["NAME", "READY", "REASON", "SYMBOLS", "PARTITIONS", "AGGREGATORS", "LAG", "MISSING", "AGE"]:
                raise Failed(f"kubectl get cpl prints other columns: {header}")
            return len(cells) == len(names) and cells[:6] == wished and cells[6].isdecimal() and cells[7] == "0"

        # Figures are renewed once a minute.
        wait_until("every column has its value", 90, all_are_printed)

    def no_pod_restarted(self) -> None:
        self.default.nothing_restarted()
        self.beside.nothing_restarted()

    def leave(self) -> None:
        """The chart keeps its definition, StatefulSets keep their volumes: both go by name."""
        self.beside.kubectl("delete", "-f", str(EXAMPLES / "binance.yaml"), "--timeout=60s")
        self.default.kubectl("delete", "-f", str(EXAMPLES / "quickstart.yaml"), "--timeout=60s")
        self.beside.wait_for_the_end_of("binance")
        self.default.wait_for_the_end_of("quickstart")
        command("helm", "uninstall", "cryptopipeline", "--wait", "--timeout", "2m")
        self.default.kubectl("delete", "pvc", "-l", "app.kubernetes.io/part-of=cryptopipeline-demo", "--timeout=60s")
        command("kubectl", "delete", "crd", DEFINITION, "--timeout=60s")
        command("kubectl", "delete", "namespace", self.beside.name, "--timeout=120s")
        kinds = "pods,persistentvolumeclaims,secrets,deployments,statefulsets"
        wait_until("nothing of it is left", 60, lambda: self.default.items(kinds) == [])

    def show_what_happened(self) -> None:
        self.default.show_what_happened()
        self.beside.show_what_happened()


def readme_on_this_cluster() -> list[str]:
    """The lines of the section, with what the testbed's cluster is called, and that it is there already.

    `make image` runs as it is; PROFILE=dev in its environment takes the programs that the tests have built.
    """
    name = re.search(r"^name: (\S+)$", (CHECKOUT / "kind-config.yaml").read_text(encoding="utf-8"), re.M).group(1)
    replaced = {
        "kind create cluster --config kind-config.yaml": "kubectl wait --for=condition=Ready node --all",
        f"--name {name}": f"--name {os.environ['KIND_CLUSTER_NAME']}",
    }
    lines = section_of_readme(ON_KIND)
    for ours, theirs in replaced.items():
        if sum(line.count(ours) for line in lines) != 1:
            raise Failed(f"README.md has no {ours!r} under the heading {ON_KIND!r}, or more than one")
        lines = [line.replace(ours, theirs) for line in lines]
    return lines


def run(line: str, **variables: str) -> None:
    """A line that a user types, which must succeed."""
    succeed(line, subprocess.run(["bash", "-c", line], cwd=CHECKOUT, env=user_environment() | variables, timeout=900))


def output_of(line: str, folder: Path = CHECKOUT) -> str:
    """What such a line prints."""
    done = subprocess.run(["bash", "-c", line], cwd=folder, env=user_environment(), stdout=subprocess.PIPE, text=True, timeout=60)
    succeed(line, done)
    return done.stdout


def succeed(line: str, done: subprocess.CompletedProcess) -> None:
    if done.returncode != 0:
        raise Failed(f"it ended with {done.returncode}: {line}\n{done.stdout or ''}")


def user_environment() -> dict[str, str]:
    """The programs are installed."""
    return os.environ | {"PROFILE": "dev", "BIN": str(INSTALLED), "PATH": f"{INSTALLED}:{PROGRAMS}:{os.environ['PATH']}"}


def expect_candles(output: str, symbols: set[str], interval: str = "1m") -> None:
    """A table or CSV, with candles of this length of every symbol."""
    lines = output.splitlines()
    if "," in lines[0]:
        rows = [(row["symbol"], row["interval"]) for row in csv.DictReader(lines)]
    else:
        rows = [tuple(line.split()[:2]) for line in lines[1:]]
    if set(rows) != {(symbol, interval) for symbol in symbols}:
        raise Failed(f"not the candles that were asked for:\n{output[:2000]}")
    print(f"   {len(rows)} candles", flush=True)


def expect_no_gaps(output: str, symbols: set[str]) -> None:
    """A row for each symbol, and the verdict that none is missing."""
    rows, verdict = output.rstrip().split("\n\n")
    named = {line.split()[0].removeprefix("simulated:") for line in rows.splitlines()[1:]}
    if named != symbols or not verdict.startswith(f"no trade of {len(symbols)} symbols is missing "):
        raise Failed(f"not what a whole ledger looks like:\n{output[:2000]}")
    print(f"   {verdict}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
