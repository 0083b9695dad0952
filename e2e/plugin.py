#!/usr/bin/env python3
"""Every verb of the kubectl plugin as its user runs it: by kubectl, which finds it on the PATH, with no more rights than
examples/plugin-roles.yaml grants, and without a way to the database.

Needs the testbed (eval "$(testbed/up all)"), the image (target/image/cryptopipeline.tar) and our programs:  plugin.py --bin FOLDER
"""

import argparse
import base64
import csv
import io
import json
import os
import pty
import signal
import subprocess
import sys
import tarfile
import urllib.parse
from pathlib import Path

from cluster import Namespace, load_image, use_testbed
from documents import EXAMPLES, commands_of_example
from generated_market import SYMBOLS, GeneratedMarket
from judge.postgres import Postgres
from steps import CHECKOUT, Failed, Test, command, wait_until

PIPELINE = "quickstart"
PLUGIN = Namespace("plugin")
kubectl = PLUGIN.kubectl
SIMULATOR_PORT = 9080
PARTITIONS = 3
SETTINGS = ["--set", f"watchNamespaces={{{PLUGIN.name}}}"]
FOLDER = CHECKOUT / "target/e2e-plugin"
# Put wherever a report might take it from.
PLANTED = "Tr0ub4dor-and-3"
TALKER = f"{PIPELINE}-talker"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, required=True)
    arguments = parser.parse_args()
    use_testbed()
    return PluginTest(arguments.bin).verdict("the kubectl plugin on kind")


class PluginTest(Test):
    """One run."""

    def __init__(self, programs: Path) -> None:
        super().__init__()
        self.path = f"{programs.resolve()}:{os.environ['PATH']}"
        self.market = GeneratedMarket(programs, f"{os.environ['TESTBED_HOST_FOR_PODS']}:{SIMULATOR_PORT}", FOLDER / "market")
        self.schema = "plugin"
        self.database = Postgres(os.environ["POSTGRES_URL"], self.schema)
        self.environments: dict[str, dict[str, str]] = {}

    def run(self) -> None:
        self.step("the image is in the cluster", load_image)
        self.step("helm installs the operator, for this namespace alone", lambda: PLUGIN.install_chart(*SETTINGS))
        self.step("kubectl finds the plugin", self.find_plugin)
        self.step("users get the rights of examples/plugin-roles.yaml", self.create_users)
        self.step("status and lag call unknown what is unknown", self.apply_pipeline)
        self.step("status says that it is Ready", self.status)
        self.step("lag tells of every partition", self.lag)
        self.step("gaps, candles and verify are asked in a pod", self.questions)
        self.step("verify ends with 3 where a candle is called wrong", self.wrong_candle)
        self.step("rebuild shows what it would remove, and asks", self.rebuild_asks)
        self.step("rebuild removes it, and everything comes back", self.rebuild)
        self.step("report gathers, and no password is in it", self.report)
        self.step("suspend waits until everything is read", self.suspend)
        self.step("a suspended pipeline is asked by its database's address", self.ask_from_here)
        self.step("resume waits until it is Ready, and Ctrl-C leaves it so", self.resume)
        self.step("every trade is there once, every claim true", self.judge)
        self.step("no worker restarted", lambda: PLUGIN.nothing_restarted(f"app.kubernetes.io/instance={PIPELINE},app.kubernetes.io/component"))
        self.step("pipeline, chart and definition go", self.leave)

    def plugin(self, user: str, *arguments: str, code: int = 0) -> str:
        """What the plugin prints for a user, once it has ended as expected."""
        line = ["kubectl", "cryptopipeline", *arguments]
        done = subprocess.run(line, env=self.environments[user], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
        if done.returncode != code:
            raise Failed(f"it ended with {done.returncode}, not {code}: {' '.join(line)}\n{done.stdout}{done.stderr}")
        return done.stdout + (done.stderr if code else "")

    def find_plugin(self) -> None:
        listed = subprocess.run(["kubectl", "plugin", "list"], env=os.environ | {"PATH": self.path}, capture_output=True, text=True, timeout=60)
        if "/kubectl-cryptopipeline\n" not in listed.stdout:
            raise Failed(f"kubectl plugin list: {listed.stdout}")

    def create_users(self) -> None:
        """One who looks, one who helps, one who keeps it running; each adds to the one before."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        apply, bind = commands_of_example("plugin-roles.yaml")
        command(*apply.split(), "--namespace", PLUGIN.name)
        command(*bind.split(), "--namespace", PLUGIN.name)
        self.environments["alice"] = self.environment_of("alice")
        for user, roles in (("bob", ["viewer", "supporter"]), ("carol", ["viewer", "supporter", "maintainer"])):
            for role in roles:
                kubectl("create", "rolebinding", f"{user}-{role}", f"--role=cryptopipeline-{role}", f"--user={user}")
            self.environments[user] = self.environment_of(user)
        asked = subprocess.run(["kubectl", "auth", "can-i", "get", "secrets"], env=self.environments["carol"], capture_output=True, text=True, timeout=60)
        if asked.stdout.strip() != "no":
            raise Failed(f"whether carol may read Secrets: {asked.stdout}{asked.stderr}")

    def environment_of(self, user: str) -> dict[str, str]:
        """A kubeconfig that acts as this user, and whose namespace is the pipeline's."""
        config = json.loads(command("kubectl", "config", "view", "--raw", "--flatten", "--minify", "-o", "json"))
        config["users"][0]["user"]["as"] = user
        config["contexts"][0]["context"]["namespace"] = PLUGIN.name
        path = FOLDER / f"{user}.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(json.dumps(config), encoding="utf-8")
        return os.environ | {"PATH": self.path, "KUBECONFIG": str(path)}

    def apply_pipeline(self) -> None:
        """The quickstart, in a schema of its own, with a password in its pods' environment."""
        PLUGIN.lead_to_testbed(SIMULATOR_PORT)
        self.market.start()
        manifest = (EXAMPLES / "quickstart.yaml").read_text(encoding="utf-8")
        environment = f"producers: {{podTemplate: {{env: [{{name: UNUSED_PASSWORD, value: {PLANTED}}}]}}}}"
        for ours, other in (("schema: market", f"schema: {self.schema}\n  deletionPolicy: Delete\n  {environment}"), ("name: crypto-trades", f"name: {self.schema}-trades")):
            if manifest.count(ours) != 1:
                raise Failed(f"examples/quickstart.yaml has no {ours!r}, or more than one")
            manifest = manifest.replace(ours, other)
        kubectl("scale", "deployment/cryptopipeline-operator", "--replicas=0")
        kubectl("wait", "--for=delete", "pods", "-l", "app.kubernetes.io/name=cryptopipeline-operator", "--timeout=60s")
        kubectl("apply", "-f", "-", stdin=manifest)
        told = self.plugin("alice", "status", PIPELINE, code=1)
        if "no operator has said anything of it yet" not in told:
            raise Failed(f"status says {told}")
        if json.loads(self.plugin("alice", "status", "-o", "json", code=1))[0]["readiness"] != "unknown":
            raise Failed("the list knows more than can be known")
        if "the lag is not known" not in self.plugin("alice", "lag", PIPELINE, code=1):
            raise Failed("lag claims to know")
        kubectl("scale", "deployment/cryptopipeline-operator", "--replicas=2")
        kubectl("wait", "--for=condition=Ready", f"cpl/{PIPELINE}", "--timeout=180s")
        kubectl("wait", "--for=condition=DataContinuous", f"cpl/{PIPELINE}", "--timeout=180s")

    def status(self) -> None:
        told = self.plugin("alice", "status", PIPELINE)
        print(told, flush=True)
        if not told.startswith(f"{PIPELINE} in namespace {PLUGIN.name} is Ready\n"):
            raise Failed("status does not say so")
        health = json.loads(self.plugin("alice", "status", PIPELINE, "-o", "json"))
        if health["readiness"] != "ready" or health["topic"]["name"] != f"{self.schema}-trades" or health["symbols"] != len(SYMBOLS):
            raise Failed(f"status says {health}")
        header, row = self.plugin("alice", "status").splitlines()
        if header.split()[0] != "NAME" or row.split()[:3] != [PIPELINE, "True", "AllReady"]:
            raise Failed(f"the list is\n{header}\n{row}")
        self.plugin("alice", "status", "-A", code=1)

    def lag(self) -> None:
        def is_told() -> bool:
            lag = self.ask_lag()
            return all(row["pod"] and row["end_offset"] is not None for row in lag["partitions"])

        wait_until("every aggregator knows the end of its partitions", 60, is_told)
        print(self.plugin("alice", "lag", PIPELINE), flush=True)
        lag = self.ask_lag()
        symbols = sorted(symbol for row in lag["partitions"] for symbol in row["symbols"])
        readers = {row["pod"] for row in lag["partitions"]}
        if len(lag["partitions"]) != PARTITIONS or symbols != sorted(f"simulated:{symbol}" for symbol in SYMBOLS) or readers != PLUGIN.pod_names(PIPELINE, "aggregator"):
            raise Failed(f"lag says {lag}")
        if lag["records"] != sum(max(row["end_offset"] - row["committed_offset"], 0) for row in lag["partitions"]):
            raise Failed(f"lag does not add up: {lag}")
        stored = {int(row["partition"]) for row in self.database.query("SELECT partition FROM partition_offsets WHERE next_offset > 0")}
        written = {row["partition"] for row in lag["partitions"] if row["symbols"]}
        if stored != written:
            raise Failed(f"records are in the partitions {stored}, lag says that symbols go to {written}")

    def ask_lag(self) -> dict:
        """Whether or not everything is known."""
        done = subprocess.run(["kubectl", "cryptopipeline", "lag", PIPELINE, "-o", "json"], env=self.environments["alice"], capture_output=True, text=True, timeout=60)
        return json.loads(done.stdout)

    def questions(self) -> None:
        refused = self.plugin("alice", "gaps", PIPELINE, code=1)
        if "pods/exec" not in refused or "forbidden" not in refused:
            raise Failed(f"alice may run commands in pods: {refused}")
        print(self.plugin("carol", "gaps", PIPELINE), flush=True)
        gaps = json.loads(self.plugin("carol", "gaps", PIPELINE, "-o", "json"))
        if gaps["missing"] != 0 or {row["symbol"] for row in gaps["symbols"]} != set(SYMBOLS):
            raise Failed(f"gaps says {gaps}")
        wait_until("a candle is complete", 60, lambda: any(row["complete"] for row in self.candles()))
        rows = list(csv.DictReader(io.StringIO(self.plugin("carol", "candles", PIPELINE, "--symbol", "BTCUSDT", "--interval", "1m", "-o", "csv"))))
        stored = {row["open"] for row in self.database.query("SELECT open FROM candles_by_symbol WHERE symbol = 'BTCUSDT' AND interval_s = 60")}
        if not rows or {row["symbol"] for row in rows} != {"BTCUSDT"} or not {row["open"].rstrip("0").rstrip(".") for row in rows} <= {text.rstrip("0").rstrip(".") for text in stored}:
            raise Failed(f"candles are {rows}, stored are {stored}")
        # What the pod says on standard error, and how it ends, is passed on.
        refused = self.plugin("carol", "rebuild", PIPELINE, "--symbol", "DOGEUSDT", "--from", "2026-01-01T00:00:00Z", "--to", "2026-01-01T00:01:00Z", "--yes", code=1)
        if "--symbol DOGEUSDT: the pipeline has no such symbol" not in refused:
            raise Failed(f"rebuild says {refused}")

    def candles(self) -> list[dict]:
        return json.loads(self.plugin("carol", "candles", PIPELINE, "--interval=1m", "-o", "json"))

    def wrong_candle(self) -> None:
        """As if a comparison had found it."""
        equal = "SELECT count(*) AS equal FROM candle_checks_by_symbol WHERE symbol = 'BTCUSDT' AND interval_s = 60 AND verdict = 'equal' AND is_current"
        wait_until("a candle is compared", 120, lambda: self.database.query(equal)[0]["equal"] != "0")
        self.plugin("carol", "verify", PIPELINE)
        self.database.execute(
            """UPDATE candle_checks SET verdict = 'ours_wrong', differences = '[{"field": "volume", "ours": "1", "theirs": "2"}]'
            WHERE (symbol_id, interval_s, open_time) IN (
                SELECT symbol_id, interval_s, open_time FROM candle_checks JOIN symbol_head USING (symbol_id)
                WHERE symbol = 'BTCUSDT' AND interval_s = 60 AND verdict = 'equal' ORDER BY open_time LIMIT 1)"""
        )
        verified = json.loads(self.plugin("carol", "verify", PIPELINE, "-o", "json", code=3))
        (wrong,) = verified["differing"]
        self.opens = wrong["open_time"]
        print(self.plugin("carol", "verify", PIPELINE, code=3), flush=True)

    def range(self) -> list[str]:
        """The minute of the candle that is called wrong."""
        closes = command("date", "--utc", "--date", f"{self.opens} + 1 minute", "+%Y-%m-%dT%H:%M:%SZ").strip()
        return ["--symbol", "BTCUSDT", "--from", self.opens, "--to", closes]

    def rebuild_asks(self) -> None:
        before = self.counts()
        preview = json.loads(self.plugin("carol", "rebuild", PIPELINE, *self.range(), "--dry-run", "-o", "json"))
        if preview["removed"] or preview["trades"] <= 0:
            raise Failed(f"rebuild --dry-run says {preview}")
        for answer in ("no", "maybe"):
            code, told = self.on_a_terminal(answer, "rebuild", PIPELINE, *self.range())
            if code != 1 or f"{preview['trades']} trades" not in told or "nothing was removed, as it was not confirmed" not in told:
                raise Failed(f"after {answer} it ended with {code}: {told}")
        self.plugin("carol", "rebuild", PIPELINE, *self.range(), code=1)
        if self.counts() != before:
            raise Failed("something was removed")

    def rebuild(self) -> None:
        code, told = self.on_a_terminal("yes", "rebuild", PIPELINE, *self.range())
        print(told, flush=True)
        if code != 0 or "[yes/no] removed of simulated:BTCUSDT, from " not in told:
            raise Failed(f"it ended with {code}: {told}")
        if self.counts() != 1:
            raise Failed("nothing was removed")
        wait_until("what was removed is back", 60, lambda: self.database.query("SELECT count(*) AS holes FROM holes")[0]["holes"] == "0")
        kubectl("wait", "--for=condition=Ready", f"cpl/{PIPELINE}", "--timeout=60s")
        self.plugin("carol", "verify", PIPELINE)

    def counts(self) -> int:
        """How often something was removed."""
        return int(self.database.query("SELECT count(*) AS rebuilds FROM rebuilds")[0]["rebuilds"])

    def on_a_terminal(self, answer: str, *arguments: str) -> tuple[int, str]:
        """The exit code, and what is printed on both outputs."""
        ours, theirs = pty.openpty()
        line = ["kubectl", "cryptopipeline", *arguments]
        with subprocess.Popen(line, env=self.environments["carol"], stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            os.close(theirs)
            os.write(ours, f"{answer}\n".encode())
            told, _ = process.communicate(timeout=120)
            os.close(ours)
        return process.returncode, told

    def report(self) -> None:
        """A pod of the pipeline's says the password in its log, and the database's own password is in its pods."""
        encoded = base64.b64encode(f"u:{PLANTED}".encode()).decode()
        said = f"postgres://market:{PLANTED}@db/market password={PLANTED} {PLANTED} {encoded}"
        labels = {"app.kubernetes.io/managed-by": "cryptopipeline-operator", "app.kubernetes.io/instance": PIPELINE}
        container = {"name": "worker", "image": "cryptopipeline:dev", "imagePullPolicy": "Never", "command": ["cryptopipeline", "run", said]}
        PLUGIN.apply([{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": TALKER, "labels": labels}, "spec": {"restartPolicy": "Never", "containers": [container]}}])
        # One that runs would be asked for its status.
        kubectl("wait", "--for=jsonpath={.status.phase}=Failed", f"pod/{TALKER}", "--timeout=60s")
        path = FOLDER / "report.tar.gz"
        path.unlink(missing_ok=True)
        answer = json.loads(self.plugin("carol", "report", PIPELINE, "--file", str(path), "-o", "json"))
        kubectl("delete", "pod", TALKER, "--wait=false")
        with tarfile.open(path) as archive:
            files = {member.name.partition("/")[2]: archive.extractfile(member).read().decode() for member in archive}
        if set(files) != set(answer["files"]):
            raise Failed(f"the report says that it holds {answer['files']}, it holds {sorted(files)}")
        database = urllib.parse.urlsplit(os.environ["POSTGRES_URL_PODS"])
        for password in filter(None, (PLANTED, database.password)):
            for form in forms_of(password):
                if holding := [name for name, text in files.items() if form in text]:
                    raise Failed(f"{form}, a form of a password, is in {', '.join(holding)}")
        if "(masked)@db/market" not in files[f"pods/{TALKER}/worker.log"]:
            raise Failed(f"the log is {files[f'pods/{TALKER}/worker.log']}")
        pods = [pod for role in ("producer", "aggregator", "repairer") for pod in sorted(PLUGIN.pod_names(PIPELINE, role))]
        wished = {"status.txt", "pipeline.yaml", "deployments.yaml", "pods.yaml", "events.yaml", "networkpolicies.yaml", "poddisruptionbudgets.yaml", "versions.yaml", "gaps.json", "verify.json", "left-out.txt", "operator/deployments.yaml"}
        wished |= {f"pods/{pod}/{name}" for pod in pods for name in ("worker.log", "status.json", "metrics.txt")}
        operators = {item["metadata"]["name"] for item in PLUGIN.items("pods", "app.kubernetes.io/name=cryptopipeline-operator")}
        wished |= {f"operator/{PLUGIN.name}/{pod}/operator.log" for pod in operators}
        if missing := wished - set(files):
            raise Failed(f"not in the report: {', '.join(sorted(missing))}; left out: {answer['left_out']}")
        json.loads(files["gaps.json"])
        # The definition belongs to the whole cluster, in which carol may read nothing.
        left_out = [entry["what"] for entry in answer["left_out"]]
        if left_out != ["the version of the definition"]:
            raise Failed(f"left out: {answer['left_out']}")
        print(f"   {len(files)} files, {path.stat().st_size} bytes", flush=True)

    def suspend(self) -> None:
        told = self.plugin("carol", "suspend", PIPELINE)
        print(told, flush=True)
        kinds = [PLUGIN.pod_names(PIPELINE, role) for role in ("producer", "aggregator")]
        if any(kinds) or f"{PIPELINE} in namespace {PLUGIN.name} is suspended" not in told:
            raise Failed(f"pods are left: {kinds}; {told}")
        status = self.plugin("carol", "status", PIPELINE, code=3)
        if f"-> kubectl cryptopipeline resume {PIPELINE} -n {PLUGIN.name}" not in status:
            raise Failed(f"status says {status}")

    def ask_from_here(self) -> None:
        wait_until("no worker's pod is left", 60, lambda: not PLUGIN.items("pods", f"app.kubernetes.io/instance={PIPELINE}"))
        told = self.plugin("carol", "gaps", PIPELINE, code=1)
        if "it is suspended" not in told or "--database-url" not in told:
            raise Failed(f"gaps says {told}")
        gaps = json.loads(self.plugin("carol", "gaps", PIPELINE, "-o", "json", "--database-url", os.environ["POSTGRES_URL"]))
        if gaps["missing"] != 0:
            raise Failed(f"gaps says {gaps}")

    def resume(self) -> None:
        line = ["kubectl", "cryptopipeline", "resume", PIPELINE]
        with subprocess.Popen(line, env=self.environments["carol"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            first = process.stderr.readline()
            process.send_signal(signal.SIGINT)
            told, _ = process.communicate(timeout=60)
        if process.returncode != 130 or "is left as asked: spec.suspend stays false" not in told:
            raise Failed(f"after Ctrl-C it ended with {process.returncode}: {first}{told}")
        told = self.plugin("carol", "resume", PIPELINE)
        if f"{PIPELINE} in namespace {PLUGIN.name} is Ready" not in told:
            raise Failed(f"resume says {told}")
        self.plugin("alice", "status", PIPELINE)

    def judge(self) -> None:
        self.market.wait_until_held(self.database)
        self.market.end_and_judge(self.database)

    def leave(self) -> None:
        kubectl("delete", "cpl", PIPELINE, "--timeout=60s")
        PLUGIN.wait_for_the_end_of(PIPELINE)
        PLUGIN.leave()

    def show_what_happened(self) -> None:
        PLUGIN.show_what_happened()

    def clean_up(self) -> None:
        self.database.close()
        self.market.stop()
        # They hold an administrator's key.
        for path in FOLDER.glob("*.kubeconfig"):
            path.unlink()


def forms_of(password: str) -> list[str]:
    """As it is, as URLs have it, and as base64 shows it wherever in a longer text it stands."""
    forms = {password, urllib.parse.quote(password, safe="")}
    for before in range(3):
        encoded = base64.b64encode(b"u" * before + password.encode()).decode()
        forms.add(encoded[4:-4] if len(encoded) > 16 else encoded)
    return sorted(form for form in forms if len(form) >= 6)


if __name__ == "__main__":
    sys.exit(main())
