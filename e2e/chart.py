#!/usr/bin/env python3
"""The Helm chart without a cluster: what it renders, what it refuses, and whether every Kubernetes it is meant for takes it.

Needs helm, kubeconform and the API descriptions (eval "$(testbed/up chart)").
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import monitoring
from manifests import CHART, NAMESPACE, RELEASE, Pod, documents, name_of, notes, pods_of, render, selector_of, strings_in
from schemas import LOCATION, write_schemas
from steps import CHECKOUT, Failed, Test, command

DEFINITION_FILE = CHECKOUT / "crds/cryptopipelines.yaml"
PERMISSIONS = CHECKOUT / "docs/concepts/permissions.md"
NAMES = CHECKOUT / "operator/src/reconcile/desired/names.rs"
EVERYTHING = CHART / "ci/everything-values.yaml"
OPERATOR = f"{RELEASE}-operator"
RENDERINGS = {
    "default": [],
    "demo": ["--set", "demo.enabled=true"],
    "namespaces": ["--set", "watchNamespaces={market,research}", "--set", "demo.enabled=true"],
    "everything": ["--values", str(EVERYTHING)],
    "least": ["--set", "operator.replicas=1,networkPolicy.enabled=false,crds.install=false,serviceAccount.create=false,serviceAccount.name=there"],
}
# Values that cannot be, as helm sets them, and what the refusal has to name.
REFUSED = {
    "operator.replica=2": "'/operator': additional properties 'replica'",
    "watchNamespace={market}": "'': additional properties 'watchNamespace'",
    "demo.kafka.storageSize=1Gi": "'/demo/kafka': additional properties 'storageSize'",
    "operator.replicas=0": "/operator/replicas",
    "operator.replicas=two": "/operator/replicas",
    "operator.log=1": "/operator/log",
    "operator.affinity.podAffinty.x=y": "'/operator/affinity': additional properties 'podAffinty'",
    "operator.resources.limit.memory=1Gi": "'/operator/resources': additional properties 'limit'",
    "operator.resources.limits.memory=1GB": "/operator/resources/limits/memory",
    "operator.tolerations[0].effect=Never": "/operator/tolerations/0/effect",
    "operator.env[0].name=RUST_LOG": "/operator/env/0/name",
    "operator.env[0].nam=X": "'/operator/env/0': additional properties 'nam'",
    "operator.podDisruptionBudget.maxUnavailable=half": "/operator/podDisruptionBudget/maxUnavailable",
    "operator.podLabels.tier=a b": "/operator/podLabels/tier",
    "commonLabels.enabled=true": "/commonLabels/enabled",
    "image.pullPolicy=Sometimes": "/image/pullPolicy",
    "image.tag=a:b": "/image/tag",
    "imagePullSecrets[0]=registry": "/imagePullSecrets/0",
    "watchNamespaces[0]=Market": "/watchNamespaces/0",
    "fullnameOverride=1st": "/fullnameOverride",
    "serviceAccount.create=false": "/serviceAccount/name",
    "crds.install=maybe": "/crds/install",
    "networkPolicy.operatorEgress=null": "'/networkPolicy': missing property 'operatorEgress'",
    "networkPolicy.metricsFrom[0].namespace=monitoring": "'/networkPolicy/metricsFrom/0': additional properties 'namespace'",
    "monitoring.rules.lagRecords=-1": "/monitoring/rules/lagRecords",
    "monitoring.rules.databaseUsed=80": "/monitoring/rules/databaseUsed",
    "monitoring.rules.disconnectedFor=5": "/monitoring/rules/disconnectedFor",
    "monitoring.enabled=true": "'/monitoring': additional properties 'enabled'",
    "demo.enabled=yes": "/demo/enabled",
}
# Objects that are not as they must be: of a rendering the kind, what is done to it, and what the refusal has to name.
SPOILED = {
    "Deployment": (lambda item: item["spec"]["template"]["spec"].update(nodeSelecter={}), "nodeSelecter"),
    "StatefulSet": (lambda item: item["spec"].update(replicas="one"), "/spec/replicas"),
    "Service": (lambda item: item["spec"]["ports"][0].pop("port"), "'port'"),
    "NetworkPolicy": (lambda item: item["spec"]["ingress"][0].update(form=[]), "form"),
    "PodDisruptionBudget": (lambda item: item["spec"].update(maxUnavailable=[1]), "/spec/maxUnavailable"),
    "Pod": (lambda item: item["spec"]["containers"][0]["resources"].update(limits={"memory": True}), "/memory"),
    "CustomResourceDefinition": (lambda item: item["spec"].pop("scope"), "'scope'"),
    "ServiceMonitor": (lambda item: item["spec"]["endpoints"][0].update(interval="often"), "/interval"),
    "PodMonitor": (lambda item: item["spec"]["podMetricsEndpoints"][0].update(relabeling=[]), "relabeling"),
    "PrometheusRule": (lambda item: item["spec"]["groups"][0]["rules"][0].pop("expr"), "'expr'"),
    "CryptoPipeline": (lambda item: item["spec"]["kafka"]["topic"].update(partition=3), "partition"),
}


def main() -> int:
    return ChartTest().verdict("the chart")


class ChartTest(Test):
    """One run."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = CHECKOUT / "target/e2e-chart"
        self.descriptions = Path(os.environ["KUBERNETES_API_DESCRIPTIONS"])
        self.schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
        self.objects: dict[str, list[dict]] = {}
        self.values: dict = {}
        self.everything: dict = {}
        self.definition: dict = {}
        # Of other projects.
        self.foreign: list[dict] = []
        self.manifests: list[Path] = []

    def run(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.step("helm lint --strict passes", self.lint)
        self.step("helm renders", self.render_all)
        self.step("values.yaml and its schema name the same values, and explain each", self.values_are_explained)
        self.step("the templates use every value, and no other", self.values_are_used)
        self.step("a file that sets every value is to be found in what it renders", self.values_arrive)
        self.step("impossible and misspelt values are refused by name", self.values_are_refused)
        self.step("every object and pod has the common labels and annotations, the definition none", self.common_metadata)
        self.step("what selects pods selects those it is meant for, by ports that they have", self.selectors)
        self.step("every pod is restricted, and has a token only if it talks to the API server", self.pods_are_restricted)
        self.step("networks are closed but for what is told", self.network_policies)
        self.step("every right is explained, and no other", self.rights_are_explained)
        self.step("parts that can be left out are left out", self.parts)
        self.step("every alert fires when it should, and has a runbook", lambda: monitoring.alerts(self.folder / "alerts"))
        self.step("dashboards and alerts ask for metrics that there are", monitoring.queries_name_metrics)
        self.step("the notes tell the next step", self.notes_tell)
        self.step("schemas of the kinds in use are made", self.make_schemas)
        self.step("spoiled objects are refused by them", self.spoiled_is_refused)
        self.step(f"Kubernetes {', '.join(self.releases())} take all that is rendered, and the examples", self.kubernetes_takes_it)

    def lint(self) -> None:
        for arguments in RENDERINGS.values():
            command("helm", "lint", "--strict", str(CHART), *arguments)

    def render_all(self) -> None:
        """Also the examples and the definition: all that a cluster is given."""
        sources = {name: render(*arguments) for name, arguments in RENDERINGS.items()}
        # KEDA's own definition takes the example that is no pipeline: operate.py.
        examples = [path for path in (CHECKOUT / "examples").glob("*.yaml") if path.name != "keda.yaml"]
        sources |= {path.stem: path.read_text(encoding="utf-8") for path in [*examples, DEFINITION_FILE]}
        (self.folder / "manifests").mkdir(parents=True)
        for name, text in sources.items():
            path = self.folder / f"manifests/{name}.yaml"
            path.write_text(text, encoding="utf-8")
            self.manifests.append(path)
            self.objects[name] = documents(text, self.folder / f"read/{name}")
        (self.definition,) = self.objects[DEFINITION_FILE.stem]
        (self.values,) = documents((CHART / "values.yaml").read_text(encoding="utf-8"), self.folder / "read/values-default")
        (self.everything,) = documents(EVERYTHING.read_text(encoding="utf-8"), self.folder / "read/values-everything")

    def values_are_explained(self) -> None:
        compare("", self.schema, self.values)
        explained = explained_values((CHART / "values.yaml").read_text(encoding="utf-8"))
        if silent := self.leaves() - explained:
            raise Failed(f"values.yaml has no comment above {', '.join(sorted(silent))}")

    def leaves(self) -> set[str]:
        return set(leaves_of("", self.schema))

    def values_are_used(self) -> None:
        templates = "".join(path.read_text(encoding="utf-8") for path in (CHART / "templates").rglob("*.*"))
        used = set(re.findall(r"\.Values\.([A-Za-z.]+)", templates))
        if differing := used ^ self.leaves():
            raise Failed(f"named in values.yaml or in the templates only: {', '.join(sorted(differing))}")

    def values_arrive(self) -> None:
        compare("", self.schema, self.everything)
        rendered = strings_in(self.objects["everything"])
        for leaf in self.leaves():
            default, value = at(self.values, leaf), at(self.everything, leaf)
            if value == default and not isinstance(value, bool):
                raise Failed(f"{EVERYTHING.name} says the default of {leaf}")
            # The whole name takes its place.
            if leaf == "nameOverride" or isinstance(value, bool):
                continue
            for text in strings_in(value):
                if text != "never-this" and not any(text in other for other in rendered):
                    raise Failed(f"{leaf} says {text}, nothing that is rendered does")
        if "never-this" in rendered:
            raise Failed("a label that selects was replaced by a user's")
        named = documents(render("--set", "nameOverride=trades"), self.folder / "read/named")
        if f"{RELEASE}-trades-operator" not in strings_in(named):
            raise Failed("nameOverride does not replace the chart's name")

    def values_are_refused(self) -> None:
        for assignment, wished in REFUSED.items():
            line = ["helm", "install", RELEASE, str(CHART), "--dry-run=client", "--set", assignment]
            done = subprocess.run(line, capture_output=True, text=True, timeout=60)
            if done.returncode == 0 or "values don't meet the specifications" not in done.stderr or wished not in done.stderr:
                raise Failed(f"{assignment} is not refused as {wished}: {done.stderr}")
        refused = set(self.schema["definitions"]["notOfTheChart"]["not"]["enum"])
        operators = [pod for name in ("default", "namespaces") for pod in pods_of(self.objects[name]) if pod.name == f"Deployment {OPERATOR}"]
        if twice := {variable["name"] for pod in operators for variable in pod.spec["containers"][0]["env"]} - refused:
            raise Failed(f"operator.env may set these once more: {', '.join(twice)}")
        print(f"   {len(REFUSED)} values", flush=True)

    def common_metadata(self) -> None:
        labels, annotations = {"team": "market-data"}, {"example.com/owner": "data@example.com"}
        for item in self.objects["everything"]:
            found = item["metadata"]
            if not (labels.items() <= found["labels"].items() and annotations.items() <= found["annotations"].items()):
                raise Failed(f"{name_of(item)} lacks them: {found}")
        for pod in pods_of(self.objects["everything"]):
            if not (labels.items() <= pod.labels.items() and annotations.items() <= pod.annotations.items()):
                raise Failed(f"the pods of {pod.name} lack them")
        definitions = [item for item in self.objects["default"] if item["kind"] == self.definition["kind"]]
        if definitions != [self.definition]:
            raise Failed("the chart's definition is another one than crds/ has")

    def selectors(self) -> None:
        for objects in map(self.objects.get, RENDERINGS):
            pods = pods_of(objects)
            for item in objects:
                if (selector := selector_of(item)) is None:
                    continue
                selected = [pod for pod in pods if pod.is_selected(selector)]
                wished = item["metadata"]["name"]
                if [pod.name.split()[1] for pod in selected] != [wished]:
                    raise Failed(f"{name_of(item)} selects {', '.join(pod.name for pod in selected) or 'no pod'}")
                if unknown := named_ports(item) - selected[0].ports():
                    raise Failed(f"{name_of(item)} names ports that its pods do not have: {', '.join(unknown)}")

    def pods_are_restricted(self) -> None:
        for objects in map(self.objects.get, RENDERINGS):
            for pod in pods_of(objects):
                if problems := pod.why_not_restricted():
                    raise Failed(f"{pod.name} is not restricted: {', '.join(problems)}")
                if ("serviceAccountName" in pod.spec) != (pod.spec.get("automountServiceAccountToken") is not False):
                    raise Failed(f"{pod.name} has a token that it does not need, or lacks one")

    def network_policies(self) -> None:
        """What they say. Whether a network does it is its own business."""
        policies = policies_of(self.objects["demo"])
        pods = {pod.name.split()[1]: pod for pod in pods_of(self.objects["demo"]) if not pod.name.startswith("Pod ")}
        if wrong := set(policies) ^ set(pods):
            raise Failed(f"a policy or a pod without the other: {', '.join(wrong)}")
        operator = pods.pop(OPERATOR)
        test = next(pod for pod in pods_of(self.objects["demo"]) if pod.name.startswith("Pod "))
        label = re.search(r'MANAGED_BY_SELECTOR: &str = "(.+)=(.+)";', NAMES.read_text(encoding="utf-8"))
        worker, stranger = Pod("worker", {label[1]: label[2]}, {}, {}), Pod("stranger", {"app": "stranger"}, {}, {})
        everybody = [operator, *pods.values(), test, worker, stranger]
        for name, policy in policies.items():
            to_demo = {True: [operator, worker], False: [worker]}
            for inside in (True, False):
                wished = everybody if name == OPERATOR else to_demo[inside]
                found = admitted(policy, everybody, inside)
                if found != wished or len(policy["ingress"][0]["ports"]) != 1:
                    raise Failed(f"{name} admits {[pod.name for pod in found]} by {policy['ingress']}, wished {[pod.name for pod in wished]}")
            dns, *others = policy["egress"]
            if {port["port"] for port in dns["ports"]} != {53, 5353, 8053, 1053} or "to" in dns or (others != []) != (name == OPERATOR):
                raise Failed(f"{name} may reach {policy['egress']}")
        narrowed = policies_of(self.objects["everything"])["market-trades-operator"]["egress"]
        if {} in narrowed or not any(is_peer(peer, worker, False) for rule in narrowed for peer in rule.get("to", [])):
            raise Failed(f"a narrowed operator reaches everybody, or no worker: {narrowed}")
        closed = documents(render("--set-json", "networkPolicy.metricsFrom=[]"), self.folder / "read/closed")
        if (found := admitted(policies_of(closed)[OPERATOR], everybody, True)) != [test]:
            raise Failed(f"with nobody in metricsFrom the operator admits {[pod.name for pod in found]}")

    def rights_are_explained(self) -> None:
        """In docs/concepts/permissions.md, for the whole cluster and for some of its namespaces."""
        rows = re.findall(r"^\| ([a-z/, ]+) \| ([a-z, ]+) \| [^|]{20,} \|$", PERMISSIONS.read_text(encoding="utf-8"), re.M)
        explained = {(resource, verb) for resources, verbs in rows for resource in resources.split(", ") for verb in verbs.split(", ")}
        for rendering in ("default", "namespaces"):
            rules = [rule for item in self.objects[rendering] if item["kind"] in ("Role", "ClusterRole") for rule in item["rules"]]
            given = {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}
            if differing := given ^ explained:
                raise Failed(f"{rendering}: given or explained only: {', '.join(' '.join(pair) for pair in sorted(differing))}")
        print(f"   {len(explained)} rights", flush=True)

    def parts(self) -> None:
        kinds = {name: [item["kind"] for item in objects] for name, objects in self.objects.items()}
        wished = {
            ("least", "PodDisruptionBudget"): 0,
            ("everything", "PodDisruptionBudget"): 1,
            ("least", "NetworkPolicy"): 0,
            ("least", "CustomResourceDefinition"): 0,
            ("least", "ServiceAccount"): 0,
            ("default", "ServiceAccount"): 1,
            ("default", "StatefulSet"): 0,
            ("demo", "StatefulSet"): 2,
            ("default", "ClusterRole"): 1,
            ("namespaces", "ClusterRole"): 0,
            ("default", "ServiceMonitor"): 0,
            ("default", "PodMonitor"): 0,
            ("default", "PrometheusRule"): 0,
            ("default", "ConfigMap"): 0,
            ("everything", "ServiceMonitor"): 1,
            ("everything", "PodMonitor"): 1,
            ("everything", "PrometheusRule"): 1,
            ("everything", "ConfigMap"): 1,
        }
        for (rendering, kind), count in wished.items():
            if kinds[rendering].count(kind) != count:
                raise Failed(f"{rendering} has {kinds[rendering].count(kind)} of {kind}, not {count}")
        roles = {item["metadata"]["namespace"] for item in self.objects["namespaces"] if item["kind"] == "Role"}
        if not {"market", "research"} <= roles:
            raise Failed(f"the operator has a role in {', '.join(roles)} only")
        operator = next(item for item in self.objects["least"] if item["kind"] == "Deployment")
        binding = next(item for item in self.objects["least"] if item["kind"] == "ClusterRoleBinding")
        if {operator["spec"]["template"]["spec"]["serviceAccountName"], binding["subjects"][0]["name"]} != {"there"}:
            raise Failed("the operator is not, or has not the rights of, the account that is there")
        for part, kind in (("kafka", "StatefulSet"), ("postgres", "StatefulSet"), ("exchange", "Deployment")):
            alone = documents(render("--set", f"demo.{part}.enabled=true"), self.folder / f"read/{part}")
            demo = [name_of(item) for item in alone if item["kind"] in ("StatefulSet", "Deployment") and "part-of" in str(item["metadata"])]
            if len(demo) != 1 or not demo[0].startswith(f"{kind} {part}"):
                raise Failed(f"demo.{part}.enabled gives {demo}")

    def notes_tell(self) -> None:
        apply = f"kubectl apply -n {NAMESPACE} -f examples/"
        wished = {
            "": ["every namespace", f"helm test {RELEASE} -n {NAMESPACE}", f"create secret generic postgres -n {NAMESPACE} ", f"{apply}binance.yaml"],
            "demo.enabled=true": [f"{apply}quickstart.yaml", f"kubectl exec -n {NAMESPACE} postgres-0"],
            "demo.enabled=true,watchNamespaces={a,market}": ["in a, market", f"{apply}quickstart.yaml"],
            "watchNamespaces={a,b}": [f"In {NAMESPACE} itself no pipeline", "kubectl apply -n a -f examples/binance.yaml", "kubectl get cpl -n b"],
        }
        for values, texts in wished.items():
            said = notes("--set", values)
            if unsaid := [text for text in texts if text not in said]:
                raise Failed(f"with {values or 'the defaults'} the notes do not say {unsaid}:\n{said}")
        said = notes("--set", "demo.enabled=true,watchNamespaces={elsewhere}")
        edit = re.search(r"^  (sed .*) \| kubectl apply -n elsewhere ", said, re.M)
        if not edit:
            raise Failed(f"the notes do not say how a watched namespace reaches the demo:\n{said}")
        edited = subprocess.run(["bash", "-c", edit[1]], cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout
        from_elsewhere = json.dumps(self.objects["quickstart"])
        for name in ("kafka:9092", "//exchange-sim:9080"):
            from_elsewhere = from_elsewhere.replace(name, name.replace(":", f".{NAMESPACE}.svc:"))
        if documents(edited, self.folder / "read/edited") != json.loads(from_elsewhere):
            raise Failed(f"the notes make of the quickstart:\n{edited}")

    def releases(self) -> list[str]:
        return sorted(path.stem for path in self.descriptions.glob("*.json"))

    def make_schemas(self) -> None:
        for kind in ("ServiceMonitor", "PodMonitor", "PrometheusRule"):
            path = Path(command(str(CHECKOUT / "testbed/definition"), kind).strip())
            self.foreign += documents(path.read_text(encoding="utf-8"), self.folder / f"read/{kind}")
        kinds = {(item["apiVersion"], item["kind"]) for objects in self.objects.values() for item in objects}
        for release in self.releases():
            write_schemas(self.descriptions / f"{release}.json", kinds, [self.definition, *self.foreign], self.folder / "schemas" / release)

    def spoiled_is_refused(self) -> None:
        folder = self.folder / "spoiled"
        folder.mkdir()
        whole = {item["kind"]: item for name in ("everything", "quickstart", DEFINITION_FILE.stem) for item in self.objects[name]}
        for kind, (spoil, _) in SPOILED.items():
            item = json.loads(json.dumps(whole[kind]))
            spoil(item)
            (folder / f"{kind}.json").write_text(json.dumps(item), encoding="utf-8")
        for release in self.releases():
            found = {result["kind"]: result for result in self.kubeconform(release, [folder])["resources"]}
            for kind, (_, wished) in SPOILED.items():
                said = json.dumps(found[kind]) if kind in found else "nothing"
                if found.get(kind, {}).get("status") != "statusInvalid" or wished not in said:
                    raise Failed(f"Kubernetes {release} does not refuse a spoiled {kind} for {wished}: {said}")

    def kubernetes_takes_it(self) -> None:
        wished = sum(len(self.objects[path.stem]) for path in self.manifests)
        for release in self.releases():
            # Refused where Chart.yaml asks for another one.
            render("--kube-version", release)
            answer = self.kubeconform(release, self.manifests)
            if answer["summary"] != {"valid": wished, "invalid": 0, "errors": 0, "skipped": 0}:
                raise Failed(f"Kubernetes {release}, of {wished} objects: {json.dumps(answer, indent=2)}")
        print(f"   {wished} objects each", flush=True)

    def kubeconform(self, release: str, paths: list[Path]) -> dict:
        location = f"{self.folder}/schemas/{release}/{LOCATION}"
        line = ["kubeconform", "-strict", "-summary", "-output", "json", "-schema-location", location, *map(str, paths)]
        done = subprocess.run(line, capture_output=True, text=True, timeout=60)
        if not done.stdout:
            raise Failed(f"kubeconform says nothing but {done.stderr}")
        return json.loads(done.stdout)


def leaves_of(path: str, schema: dict) -> list[str]:
    """The values that are not merely a name for others. Types below `definitions` are Kubernetes' own."""
    if "properties" not in schema:
        return [path]
    children = {name: child for name, child in schema["properties"].items() if name != "global"}
    return [leaf for name, child in children.items() for leaf in leaves_of(f"{path}.{name}".lstrip("."), child)]


def compare(path: str, schema: dict, values: object) -> None:
    """Every value is named by both, explained, and no other is taken, nor none."""
    if "description" not in schema:
        raise Failed(f"the schema does not explain {path}")
    if "properties" not in schema:
        return
    names = set(schema["properties"]) - {"global"}
    if not isinstance(values, dict) or set(values) != names:
        raise Failed(f"the schema names {sorted(names)} in '{path}', values are {values}")
    if schema.get("additionalProperties") is not False or set(schema.get("required", [])) != names:
        raise Failed(f"the schema takes other values than {sorted(names)} in '{path}', or fewer")
    for name, child in schema["properties"].items():
        compare(f"{path}.{name}".lstrip("."), child, values.get(name) if name in names else None)


def explained_values(text: str) -> set[str]:
    """The paths of keys that have a comment right above them."""
    found, above = set(), []
    lines = text.splitlines()
    for before, line in zip(["", *lines], lines):
        if not (match := re.match(r"( *)([A-Za-z]+):", line)):
            continue
        above = [(indent, name) for indent, name in above if indent < len(match[1])] + [(len(match[1]), match[2])]
        if before.startswith(f"{match[1]}# "):
            found.add(".".join(name for _, name in above))
    return found


def at(values: dict, path: str) -> object:
    found: object = values
    for name in path.split("."):
        found = found[name]
    return found


def named_ports(item: dict) -> set[str]:
    """The container ports that a Service or a policy's ingress names."""
    if item["kind"] == "Service":
        return {port["targetPort"] for port in item["spec"]["ports"]}
    rules = item["spec"].get("ingress", []) if item["kind"] == "NetworkPolicy" else []
    return {port["port"] for rule in rules for port in rule["ports"]}


def policies_of(objects: list[dict]) -> dict[str, dict]:
    return {item["metadata"]["name"]: item["spec"] for item in objects if item["kind"] == "NetworkPolicy"}


def admitted(policy: dict, pods: list[Pod], inside: bool) -> list[Pod]:
    """Those of the pods that its one rule admits, in its own namespace or in another one. A rule without peers admits all."""
    (rule,) = policy["ingress"]
    return [pod for pod in pods if not rule.get("from") or any(is_peer(peer, pod, inside) for peer in rule["from"])]


def is_peer(peer: dict, pod: Pod, inside: bool) -> bool:
    if "ipBlock" in peer or peer.get("namespaceSelector", {}) != {} or not (inside or "namespaceSelector" in peer):
        return False
    return pod.is_selected(peer.get("podSelector", {}).get("matchLabels", {}))


if __name__ == "__main__":
    sys.exit(main())
