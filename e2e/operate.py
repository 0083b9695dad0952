#!/usr/bin/env python3
"""What a user does with a pipeline that runs, by kubectl and helm, in a namespace that enforces the restricted pod security
standard and with an operator that may look into no other.

Needs the testbed (eval "$(testbed/up all)"), the image (target/image/cryptopipeline.tar) and the simulator's binary:  operate.py --bin FOLDER
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.parse
from functools import partial
from pathlib import Path
from typing import Callable

import monitoring
from cluster import CHART, Namespace, is_ready, load_image, use_testbed
from documents import EXAMPLES, commands_of_example
from generated_market import SYMBOLS, GeneratedMarket
from judge.postgres import Postgres
from policy_probe import CONNECTED, attempt, client_pod, enforces_policies
from prometheus import Prometheus
from steps import CHECKOUT, Failed, Test, command, wait_until

PIPELINE = "quickstart"
OPERATE = Namespace("operate")
kubectl = OPERATE.kubectl
pods, ready_pods = partial(OPERATE.pod_names, PIPELINE), partial(OPERATE.ready_pod_names, PIPELINE)
SIMULATOR_PORT = 9080
PARTITIONS = 3
OPERATOR = "cryptopipeline-operator"
OLDER = "older"
# Of the definition.
NEWEST_FIELD = "podDisruptionBudget"
SETTINGS = ["--set", f"watchNamespaces={{{OPERATE.name}}}"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, required=True)
    arguments = parser.parse_args()
    use_testbed()
    return OperateTest(arguments.bin).verdict("operating a pipeline on kind")


class OperateTest(Test):
    """One run."""

    def __init__(self, programs: Path) -> None:
        super().__init__()
        self.host = os.environ["TESTBED_HOST_FOR_PODS"]
        self.market = GeneratedMarket(programs, f"{self.host}:{SIMULATOR_PORT}", CHECKOUT / "target/e2e-operate")
        self.schema = "operate"
        self.database = Postgres(os.environ["POSTGRES_URL"], self.schema)
        self.prometheus = Prometheus(CHECKOUT / "target/e2e-operate-prometheus", OPERATE)

    def run(self) -> None:
        self.step("the image is in the cluster", load_image)
        self.step("a namespace that takes nothing but restricted pods", self.create_namespace)
        self.step("helm installs an older release, for this namespace alone", self.install_older)
        self.step("kubectl applies a pipeline and it becomes ready", self.apply_pipeline)
        self.step("Prometheus scrapes operators and workers", self.scrape)
        self.step("every metric of the reference is exposed as it says, and no other", self.metrics_are_declared)
        self.step("Prometheus answers every query of the dashboards", self.dashboards_are_answered)
        self.step("the alerts are evaluated, and none is about to fire", self.nothing_alarms)
        self.step("helm test passes", OPERATE.test_chart)
        self.step("of two operators one leads", self.one_leads)
        self.step("the leader hangs, and the other one leads once its Lease has ended", lambda: self.take_over("STOP"))
        self.step("the leader is killed, and one leads again", lambda: self.take_over("KILL"))
        self.step("the operators are replaced by others, and the Lease is handed over", self.replace_operators)
        self.step("helm upgrades operator and definition, and no worker restarts", self.upgrade_operator)
        self.step("helm upgrades the workers, one after the other", self.upgrade_workers)
        self.step("an operator before the schema's version refuses it, and the workers go on", self.downgrade)
        self.step("who reaches whom is as the pipeline's policies say", self.policies_hold)
        self.step("an aggregator that is scaled away hands over what it had", self.scale_down)
        self.step("a HorizontalPodAutoscaler scales by the scale subresource", self.autoscale)
        self.step("more than there are partitions are not made", self.scale_beyond)
        self.step("examples/keda.yaml is taken by KEDA's definition, and Prometheus answers its queries", self.keda)
        self.step("what was played is held, and nothing had to be repaired", self.nothing_was_missed)
        self.step("every trade is there once, every claim true", lambda: self.market.end_and_judge(self.database))
        self.step("no worker restarted", lambda: OPERATE.nothing_restarted(f"app.kubernetes.io/instance={PIPELINE}"))
        self.step("the pipeline goes, and with deletionPolicy Delete its topic and its tables", self.delete_pipeline)
        self.step("the chart and its definition go", OPERATE.leave)

    def create_namespace(self) -> None:
        labels = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}
        OPERATE.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OPERATE.name, "labels": labels}}])

    def install_older(self) -> None:
        """The chart as if it were of a release before: another version, a definition without the newest field, another tag."""
        (node,) = command("kind", "get", "nodes").split()
        names = [f"docker.io/library/cryptopipeline:{tag}" for tag in ("dev", OLDER)]
        command("docker", "exec", node, "ctr", "--namespace", "k8s.io", "images", "tag", "--force", *names)
        older = CHECKOUT / "target/e2e-operate-older-chart"
        shutil.rmtree(older, ignore_errors=True)
        shutil.copytree(CHART, older)
        rewrite(older / "Chart.yaml", r"^version: .*$", "version: 0.0.9")
        rewrite(older / "files/cryptopipelines.yaml", rf"^( +){NEWEST_FIELD}:\n(\1 +.*\n)+", "")
        OPERATE.install_chart(*SETTINGS, "--set", f"image.tag={OLDER}", chart=older)

    def apply_pipeline(self) -> None:
        """The quickstart, in a schema of its own."""
        OPERATE.lead_to_testbed(SIMULATOR_PORT)
        self.market.start()
        kubectl("apply", "-f", str(EXAMPLES / "quickstart.yaml"), "--dry-run=server")
        manifest = (EXAMPLES / "quickstart.yaml").read_text(encoding="utf-8")
        for ours, other in (("schema: market", f"schema: {self.schema}\n  deletionPolicy: Delete"), ("name: crypto-trades", f"name: {self.schema}-trades")):
            if manifest.count(ours) != 1:
                raise Failed(f"examples/quickstart.yaml has no {ours!r}, or more than one")
            manifest = manifest.replace(ours, other)
        kubectl("apply", "-f", "-", stdin=manifest)
        kubectl("wait", "--for=condition=Ready", f"cpl/{PIPELINE}", "--timeout=180s")
        kubectl("wait", "--for=condition=DataContinuous", f"cpl/{PIPELINE}", "--timeout=180s")

    def scrape(self) -> None:
        self.prometheus.start()
        wished = {"operator", "producer", "aggregator", "repairer"}

        def all_are_up() -> bool:
            up = {labels["pod"] for labels, value in self.prometheus.query("up") if value == 1}
            return all(any(role in pod for pod in up) for role in wished)

        wait_until("operator and workers are scraped", 60, all_are_up)
        lag = f'cryptopipeline_lag_records{{namespace="{OPERATE.name}",pipeline="{PIPELINE}"}}'
        wait_until("the lag of every partition is told", 60, lambda: len(self.prometheus.query(lag)) == PARTITIONS)

    def metrics_are_declared(self) -> None:
        declared = monitoring.declared_metrics()
        # Of the aggregator that has the first partition, once it has asked.
        wait_until("the sizes of the tables are told", 60, lambda: "cryptopipeline_database_table_size_bytes" in self.prometheus.ask("metadata"))
        metadata = self.prometheus.ask("metadata")
        exposed = {}
        for name, (kind, _) in declared.items():
            # The format tells a counter's type under its name without the ending.
            (found,) = metadata.get(name.removesuffix("_total"), [{"type": "nothing"}])[:1]
            if found["type"] != kind and name not in monitoring.ONLY_AFTER_TROUBLE:
                raise Failed(f"{name} is a {kind} by the reference, and Prometheus has scraped {found['type']}")
            exposed[name.removesuffix("_total")] = found
        ours = {name for name in metadata if name.startswith("cryptopipeline")}
        if undeclared := ours - set(exposed):
            raise Failed(f"the reference lacks {', '.join(sorted(undeclared))}")
        for series in self.prometheus.ask("series", **{"match[]": '{__name__=~"cryptopipeline_.+"}'}):
            name = series.pop("__name__")
            name = name if name in declared else re.sub("_(bucket|count|sum)$", "", name)
            labels = set(series) - monitoring.TARGET_LABELS - {"le"}
            if labels != declared[name][1] - monitoring.TARGET_LABELS:
                raise Failed(f"{name} has the labels {sorted(series)}, the reference says {sorted(declared[name][1])}")
        print(f"   {len(declared)} metrics", flush=True)

    def dashboards_are_answered(self) -> None:
        variables = {"namespace": OPERATE.name, "pipeline": PIPELINE}
        asked = [(title, panel, query) for title, panel in monitoring.panels() for query in monitoring.queries(panel, variables)]

        def unanswered() -> list[str]:
            return [f"{title}: {query}" for title, panel, query in asked if not self.prometheus.query(query) and not monitoring.may_be_silent(panel)]

        try:
            # Rates and the sizes of tables come with the second scrape, or minute.
            wait_until("every panel has an answer", 90, lambda: not unanswered())
        except Failed as failure:
            raise Failed("\n".join([str(failure), *unanswered()])) from failure
        print(f"   {len(asked)} queries", flush=True)

    def nothing_alarms(self) -> None:
        rules = [rule for group in self.prometheus.ask("rules")["groups"] for rule in group["rules"]]
        if wrong := [f"{rule['name']}: {rule['health']} {rule.get('lastError', '')}" for rule in rules if rule["health"] != "ok"]:
            raise Failed("\n".join(wrong))
        if alarms := [(rule["name"], rule["alerts"]) for rule in rules if rule["state"] != "inactive"]:
            raise Failed(f"a pipeline without trouble alarms: {alarms}")
        print(f"   {len(rules)} alerts", flush=True)

    def one_leads(self) -> None:
        leads = {labels["pod"]: value for labels, value in self.prometheus.query("cryptopipeline_operator_leads")}
        if sorted(leads.values()) != [0, 1] or leads[self.leader()] != 1:
            raise Failed(f"{self.leader()} has the Lease, and the operators say {leads}")

    def leader(self) -> str:
        return json.loads(kubectl("get", "lease", OPERATOR, "-o", "json"))["spec"].get("holderIdentity", "")

    def take_over(self, signal: str) -> None:
        """Until a change is acted on."""
        before = self.leader()
        signal_operator(before, signal)
        began = time.monotonic()
        replicas = PARTITIONS - 1 if signal == "STOP" else PARTITIONS
        kubectl("scale", f"cpl/{PIPELINE}", f"--replicas={replicas}")
        deployment = f"deployment/{PIPELINE}-aggregator"
        kubectl("wait", f"--for=jsonpath={{.spec.replicas}}={replicas}", deployment, "--timeout=90s")
        after = self.leader()
        print(f"   acted on {time.monotonic() - began:.1f} s after, by {'another' if after != before else 'the same, started anew'}", flush=True)
        if signal == "STOP" and after == before:
            raise Failed(f"{before} still has the Lease")
        # One that hangs is started anew by its liveness probe, a minute later.
        if signal == "STOP":
            signal_operator(before, "KILL")
        kubectl("wait", "--for=condition=Available", f"deployment/{OPERATOR}", "--timeout=90s")
        kubectl("rollout", "status", f"deployment/{OPERATOR}", "--timeout=120s")

    def replace_operators(self) -> None:
        kubectl("wait", f"--for=jsonpath={{.status.aggregators.ready}}={PARTITIONS}", f"cpl/{PIPELINE}", "--timeout=60s")
        kubectl("wait", "--for=condition=Ready", f"cpl/{PIPELINE}", "--timeout=60s")
        before, ready_since = self.leader(), OPERATE.conditions(PIPELINE)["Ready"]["lastTransitionTime"]
        stands = Handover(self.leader, before)
        kubectl("rollout", "restart", f"deployment/{OPERATOR}")
        wait_until("another one leads", 90, stands.is_over)
        kubectl("rollout", "status", f"deployment/{OPERATOR}", "--timeout=90s")
        # Acted on by the one that leads in the end, and so described by it.
        kubectl("annotate", "cpl", PIPELINE, "e2e-replaced=yes")
        kubectl("wait", "--for=condition=Ready", f"cpl/{PIPELINE}", "--timeout=60s")
        ready = OPERATE.conditions(PIPELINE)["Ready"]
        if ready["lastTransitionTime"] != ready_since:
            raise Failed(f"the pipeline was not ready meanwhile: {ready}")
        print(f"   nobody held the Lease for {stands.gap:.1f} s", flush=True)

    def upgrade_operator(self) -> None:
        """The workers' image stays, as a careful user has it."""
        if NEWEST_FIELD in kubectl("explain", "cpl.spec"):
            raise Failed(f"the older definition has {NEWEST_FIELD}")
        before = worker_pods()
        OPERATE.install_chart(*SETTINGS, "--set", f"workerImage=cryptopipeline:{OLDER}", verb="upgrade")
        wait_until("the definition is the newer one", 30, lambda: NEWEST_FIELD in kubectl("explain", "cpl.spec"))
        kubectl("rollout", "status", f"deployment/{OPERATOR}", "--timeout=90s")
        newer = {pod["metadata"]["name"] for pod in OPERATE.items("pods", "app.kubernetes.io/name=cryptopipeline-operator") if pod["spec"]["containers"][0]["image"].endswith(":dev")}
        wait_until("one of the newer operators leads", 30, lambda: self.leader() in newer)
        # Acted on by the newer one.
        kubectl("annotate", "cpl", PIPELINE, "e2e-upgraded=yes")
        kubectl("wait", "--for=condition=Ready", f"cpl/{PIPELINE}", "--timeout=60s")
        self.market.wait_until_held(self.database)
        if worker_pods() != before:
            raise Failed(f"workers were replaced: {before ^ worker_pods()}")

    def upgrade_workers(self) -> None:
        before = worker_pods()
        OPERATE.install_chart(*SETTINGS, verb="upgrade")
        wait_until("every worker is replaced", 180, lambda: not worker_pods() & before and all(map(is_ready, all_worker_pods())))
        kubectl("wait", "--for=condition=Ready", f"cpl/{PIPELINE}", "--timeout=60s")
        self.market.wait_until_held(self.database)

    def downgrade(self) -> None:
        """A schema as an operator of the next release would leave it, which has only added to it."""
        newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (99, 'of the next release', true, '', 0)"
        self.database.execute(newer)
        kubectl("wait", "--for=jsonpath={.status.conditions[?(@.type=='SchemaReady')].reason}=SchemaTooNew", f"cpl/{PIPELINE}", "--timeout=60s")
        print(f"   {OPERATE.conditions(PIPELINE)['SchemaReady']['message']}", flush=True)
        # Those that run, and one that is started now.
        gone = sorted(pods("aggregator"))[0]
        kubectl("delete", "pod", gone, "--wait=false")
        wait_until("another aggregator is ready", 60, lambda: len(ready_pods("aggregator") - {gone}) == PARTITIONS)
        self.market.wait_until_held(self.database)
        self.database.execute("DELETE FROM _sqlx_migrations WHERE version = 99")
        kubectl("wait", "--for=condition=Ready", f"cpl/{PIPELINE}", "--timeout=60s")

    def policies_hold(self) -> None:
        """By pods that are labelled as others are."""
        if not enforces_policies():
            print("   skipped: this cluster enforces no NetworkPolicies", flush=True)
            return
        labels = {"app.kubernetes.io/name": "cryptopipeline", "app.kubernetes.io/instance": PIPELINE}
        clients = {role: {**labels, "app.kubernetes.io/component": role} for role in ("aggregator", "repairer")}
        clients["producer"] = {**labels, "app.kubernetes.io/component": "producer", "cryptopipeline.dev/source": "exchange"}
        clients |= {"prometheus": {"app.kubernetes.io/name": "prometheus"}, "stranger": {"app": "stranger"}}
        worker = OPERATE.pods_of(PIPELINE, "aggregator")[0]["status"]["podIP"]
        OPERATE.apply([client_pod(f"as-{name}", labels) for name, labels in clients.items()])
        names = [f"pod/as-{name}" for name in clients]
        kubectl("wait", "--for=condition=Ready", *names, "--timeout=60s")
        targets = {
            "broker": (self.host, int(os.environ["KAFKA_BOOTSTRAP_PODS"].rpartition(":")[2])),
            "database": (self.host, urllib.parse.urlsplit(os.environ["POSTGRES_URL_PODS"]).port),
            "exchange": (self.host, SIMULATOR_PORT),
            "worker": (worker, 8080),
            "API server": ("kubernetes.default.svc", 443),
        }
        reached = {
            "producer": {"broker", "exchange"},
            "aggregator": {"broker", "database"},
            "repairer": {"broker", "database", "exchange"},
            "prometheus": set(targets),
            "stranger": set(targets) - {"worker"},
        }
        found: dict[tuple[str, str], str] = {}

        def are_as_said() -> bool:
            for name in clients:
                for target, (host, port) in targets.items():
                    found[name, target] = attempt(OPERATE, f"as-{name}", host, port)
            return all((outcome == CONNECTED) == (target in reached[name]) for (name, target), outcome in found.items())

        try:
            wait_until("everybody reaches what he may", 90, are_as_said)
        except Failed as failed:
            raise Failed(f"{failed}: {found}") from None
        print(f"   {len(found)} pairs, {sum(outcome == CONNECTED for outcome in found.values())} of them connected", flush=True)
        kubectl("delete", *names, "--wait=true", "--timeout=60s")

    def nothing_was_missed(self) -> None:
        self.market.wait_until_held(self.database)
        OPERATE.nothing_is_repaired(PIPELINE)

    def scale_down(self) -> None:
        """The one that goes says that it does; nobody waits for its session to end."""
        before = pods("aggregator")
        logs = {pod: follow_log(pod) for pod in before}
        watched = StandStill(self.database)
        kubectl("scale", f"cpl/{PIPELINE}", "--replicas=1")
        wait_until("one aggregator is left", 60, lambda: watched.look() and len(pods("aggregator")) == 1)
        gone = before - pods("aggregator")
        for pod in gone:
            wait_until(f"{pod} is gone", 60, lambda pod=pod: watched.look() and logs[pod].poll() is not None)
            if "partitions revoked" not in logs[pod].communicate()[0]:
                raise Failed(f"{pod} ended without handing over its partitions")
        # A partition that nobody has stands still: its symbols' trades are in no other.
        played = self.market.last_played()
        wait_until("every symbol goes on", 60, lambda: watched.look() and watched.are_beyond(played))
        for log in logs.values():
            log.kill()
            log.wait()
        print(f"   {len(gone)} handed over; the longest that a symbol stood still was {watched.longest:.1f} s", flush=True)
        kubectl("wait", "--for=condition=Ready", f"cpl/{PIPELINE}", "--timeout=60s")

    def autoscale(self) -> None:
        target = {"apiVersion": "cryptopipeline.dev/v1alpha1", "kind": "CryptoPipeline", "name": PIPELINE}
        cpu = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}
        spec = {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": PARTITIONS, "metrics": [cpu]}
        OPERATE.apply([{"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": PIPELINE}, "spec": spec}])
        wait_until("there are as many as it wants at least", 90, lambda: len(ready_pods("aggregator")) == 2)
        scale = json.loads(kubectl("get", "cpl", PIPELINE, "--subresource=scale", "-o", "json"))
        if scale["spec"]["replicas"] != 2 or "app.kubernetes.io/component=aggregator" not in scale["status"]["selector"]:
            raise Failed(f"the scale subresource says {scale}")
        kubectl("delete", "hpa", PIPELINE)

    def scale_beyond(self) -> None:
        kubectl("scale", f"cpl/{PIPELINE}", "--replicas=7")
        wait_until("every partition has its aggregator", 60, lambda: len(ready_pods("aggregator")) == PARTITIONS)
        kubectl("wait", f"--for=jsonpath={{.status.aggregators.desired}}={PARTITIONS}", f"cpl/{PIPELINE}", "--timeout=60s")
        kubectl("wait", "--for=condition=Ready", f"cpl/{PIPELINE}", "--timeout=60s")

    def keda(self) -> None:
        """No KEDA runs here. Its API server would take the example, and what it asks has an answer."""
        definition = command(str(CHECKOUT / "testbed/definition"), "keda").strip()
        kubectl("apply", "--server-side", "-f", definition)
        kubectl("wait", "--for=condition=Established", "crd/scaledobjects.keda.sh", "--timeout=30s")
        scale, apply = commands_of_example("keda.yaml")
        if (scale, apply) != (f"kubectl scale cpl/{PIPELINE} --replicas=1", "kubectl apply -f examples/keda.yaml"):
            raise Failed(f"examples/keda.yaml shows other commands than this test runs: {scale}; {apply}")
        kubectl(*scale.split()[1:])
        kubectl("apply", "-f", str(EXAMPLES / "keda.yaml"))
        wait_until("one aggregator is left", 60, lambda: len(pods("aggregator")) == 1)
        scaled = json.loads(kubectl("get", "scaledobject", f"{PIPELINE}-aggregators", "-o", "json"))["spec"]
        if scaled["maxReplicaCount"] != PARTITIONS:
            raise Failed(f"examples/keda.yaml scales to {scaled['maxReplicaCount']}, the quickstart has {PARTITIONS} partitions")
        for trigger in scaled["triggers"]:
            query = trigger["metadata"]["query"]
            if 'namespace="default"' not in query:
                raise Failed(f"the query names another namespace than this test replaces: {query}")
            query = query.replace('namespace="default"', f'namespace="{OPERATE.name}"')
            wait_until(f"Prometheus answers {query}", 60, lambda query=query: len(self.prometheus.query(query)) == 1)
            (_, value), = self.prometheus.query(query)
            print(f"   {trigger['name']}: {value:.1f}, threshold {trigger['metadata']['threshold']}", flush=True)
            if trigger["name"] == "rate" and value <= 0:
                raise Failed("trades flow, and their rate is 0")
        kubectl("delete", "crd", "scaledobjects.keda.sh", "--timeout=60s")

    def delete_pipeline(self) -> None:
        kubectl("delete", "cpl", PIPELINE, "--timeout=60s")
        OPERATE.wait_for_the_end_of(PIPELINE)
        if self.database.query(f"SELECT nspname FROM pg_namespace WHERE nspname = '{self.schema}'"):
            raise Failed("the schema is still there")

    def show_what_happened(self) -> None:
        OPERATE.show_what_happened()

    def clean_up(self) -> None:
        self.prometheus.stop()
        self.database.close()
        self.market.stop()


class Handover:
    """How long nobody holds a Lease until somebody else does."""

    def __init__(self, leader: Callable[[], str], before: str) -> None:
        self.leader = leader
        self.before = before
        self.free_since: float | None = None
        self.gap = 0.0

    def is_over(self) -> bool:
        holder, now = self.leader(), time.monotonic()
        if not holder and self.free_since is None:
            self.free_since = now
        if self.free_since is not None:
            self.gap = now - self.free_since
        return holder not in ("", self.before)


class StandStill:
    """How long each symbol goes without a new trade in the database."""

    def __init__(self, database: Postgres) -> None:
        self.database = database
        self.moved: dict[str, tuple[int, float]] = {}
        self.longest = 0.0

    def look(self) -> bool:
        for row in self.database.query("SELECT symbol, last_trade_id FROM symbol_head"):
            symbol, last, now = row["symbol"], int(row["last_trade_id"]), time.monotonic()
            before, since = self.moved.get(symbol, (-1, now))
            self.longest = max(self.longest, now - since)
            if last != before:
                self.moved[symbol] = (last, now)
        return True

    def are_beyond(self, played: dict[str, int]) -> bool:
        return set(self.moved) == set(SYMBOLS) and all(self.moved[symbol][0] > trade_id for symbol, trade_id in played.items())


def signal_operator(pod: str, signal: str) -> None:
    """Sends it to the process in the pod, from the node: its own first process takes no signal that it does not expect."""
    find = 'for process in /proc/[0-9]*; do tr "\\0" "\\n" <$process/environ 2>/dev/null | grep -qx "LEASE_IDENTITY=$1" && kill -s "$2" ${process#/proc/}; done; true'
    node = json.loads(kubectl("get", "pod", pod, "-o", "json"))["spec"]["nodeName"]
    command("docker", "exec", node, "sh", "-c", find, "sh", pod, signal)


def rewrite(path: Path, pattern: str, by: str) -> None:
    text, count = re.subn(pattern, by, path.read_text(encoding="utf-8"), flags=re.M)
    if count != 1:
        raise Failed(f"{pattern} is {count} times in {path}")
    path.write_text(text, encoding="utf-8")


def all_worker_pods() -> list[dict]:
    """Those that are not going away."""
    return [pod for role in ("producer", "aggregator", "repairer") for pod in OPERATE.staying_pods(PIPELINE, role)]


def worker_pods() -> set[str]:
    return {pod["metadata"]["name"] for pod in all_worker_pods()}


def follow_log(pod: str) -> subprocess.Popen:
    """Ends with the pod; its output is the log."""
    return subprocess.Popen(["kubectl", "--namespace", OPERATE.name, "logs", "--follow", pod], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


if __name__ == "__main__":
    sys.exit(main())
