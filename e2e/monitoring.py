"""What the chart tells Prometheus and Grafana: alerts, dashboards, and what they ask for."""

import json
import re
import shutil
from pathlib import Path

from manifests import CHART, documents, render
from steps import CHECKOUT, Failed, command

ALERT_TESTS = CHART / "ci/alerts-test.yaml"
RUNBOOKS = CHECKOUT / "docs/runbooks"
METRICS = CHECKOUT / "docs/reference/metrics.md"
# What others expose: the kubelet.
FOREIGN = {"kubelet_volume_stats_used_bytes", "kubelet_volume_stats_capacity_bytes"}
# What the monitors add.
TARGET_LABELS = {"job", "instance", "namespace", "pod", "pipeline", "role", "source"}
# By reasons that only turn up as they happen.
ONLY_AFTER_TROUBLE = {"cryptopipeline_aggregator_records_set_aside_total"}
# What Grafana fills in.
RATE_INTERVAL = "$__rate_interval"


def alerts(folder: Path) -> None:
    """promtool runs the tests of every alert; each alert has a runbook, and no runbook is without one."""
    command(str(CHECKOUT / "e2e/prometheus-tools"))
    rules = rendered_rules(folder / "read")
    (folder / "rules.yaml").write_text(json.dumps(rules), encoding="utf-8")
    shutil.copy(ALERT_TESTS, folder)
    command("promtool", "check", "rules", "--lint=all", "--lint-fatal", str(folder / "rules.yaml"))
    command("promtool", "test", "rules", str(folder / ALERT_TESTS.name))
    names = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    tested = set(re.findall(r"^- name: (.+)$", ALERT_TESTS.read_text(encoding="utf-8"), re.M))
    runbooks = {path.stem for path in RUNBOOKS.glob("*.md")}
    if differing := (names ^ tested) | (names ^ runbooks):
        raise Failed(f"without an alert, a test or a runbook: {', '.join(sorted(differing))}")
    print(f"   {len(names)} alerts", flush=True)


def rendered_rules(folder: Path, *arguments: str) -> dict:
    """The groups, as Prometheus reads them from a file."""
    (item,) = documents(render("--set", "monitoring.rules.enabled=true", "--show-only", "templates/monitoring/rules.yaml", *arguments), folder)
    return item["spec"]


def panels() -> list[tuple[str, dict]]:
    """The panels of all dashboards that ask for something, with what to call them."""
    found = []
    for path in sorted((CHART / "dashboards").glob("*.json")):
        board = json.loads(path.read_text(encoding="utf-8"))
        found += [(f"{board['title']}: {panel['title']}", panel) for panel in board["panels"] if panel["type"] != "row"]
    return found


def queries(panel: dict, variables: dict[str, str]) -> list[str]:
    """What a panel asks, where a person has chosen these variables."""
    found = []
    for target in panel["targets"]:
        expression = target["expr"].replace(RATE_INTERVAL, "1m")
        for name, value in variables.items():
            expression = expression.replace(f"${name}", value)
        if "$" in expression:
            raise Failed(f"a variable without a value: {expression}")
        found.append(expression)
    return found


def may_be_silent(panel: dict) -> bool:
    """Whether no answer is an answer: the panel says what it means then."""
    return "noValue" in panel["fieldConfig"]["defaults"]


def declared_metrics() -> dict[str, tuple[str, set[str]]]:
    """Type and labels by name, as the reference has them."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \| .+ \|$", METRICS.read_text(encoding="utf-8"), re.M)
    return {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


def queries_name_metrics() -> None:
    declared = {name for name in declared_metrics()}
    series = declared | {f"{name}_{part}" for name in declared for part in ("bucket", "count", "sum")} | FOREIGN
    asked = [query for _, panel in panels() for query in queries(panel, {"namespace": "n", "pipeline": "p"})]
    asked.append((CHART / "files/alerts.yaml").read_text(encoding="utf-8"))
    named = set(re.findall(r"\b(?:cryptopipeline|kubelet)_\w+", " ".join(asked)))
    for name in named:
        if name not in series:
            raise Failed(f"a dashboard or an alert asks for {name}, which nobody exposes")
    for title, panel in panels():
        if not (panel["description"] and panel["fieldConfig"]["defaults"]["unit"]):
            raise Failed(f"{title} does not say what it shows, or in which unit")
    unused = declared - {re.sub("_(bucket|count|sum)$", "", name) for name in named}
    print(f"   {len(panels())} panels; nobody asks for {', '.join(sorted(unused)) or 'nothing less'}", flush=True)
