"""What helm renders, as objects, and what the pods among them are."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from steps import CHECKOUT, Failed, command

CHART = CHECKOUT / "charts/cryptopipeline"
RELEASE, NAMESPACE = "cryptopipeline", "market"

# Reads files of a chart as YAML and writes them as JSON: the standard library has no YAML.
READER = """{{- $documents := list }}
{{- range $path, $_ := .Files.Glob "files/*" }}{{ $documents = append $documents ($.Files.Get $path | fromYaml) }}{{ end }}
{{- dict "documents" $documents | toJson }}
"""


def render(*arguments: str) -> str:
    return command("helm", "template", RELEASE, str(CHART), "--namespace", NAMESPACE, *arguments)


def notes(*arguments: str) -> str:
    """What helm says after an installation."""
    return command("helm", "install", RELEASE, str(CHART), "--namespace", NAMESPACE, "--dry-run=client", *arguments).partition("\nNOTES:\n")[2]


def documents(text: str, folder: Path) -> list[dict]:
    """The documents of a YAML text; the folder is for a chart that reads them."""
    parts = [part for part in re.split(r"(?m)^---$", text) if re.search(r"(?m)^[^#\s]", part)]
    (folder / "templates").mkdir(parents=True)
    (folder / "files").mkdir()
    (folder / "Chart.yaml").write_text("{apiVersion: v2, name: reader, version: 0.1.0}", encoding="utf-8")
    (folder / "templates/documents.yaml").write_text(READER, encoding="utf-8")
    for number, part in enumerate(parts):
        (folder / f"files/{number:04}.yaml").write_text(part, encoding="utf-8")
    output = command("helm", "template", "reader", str(folder))
    found = json.loads(output[output.index("{") :])["documents"]
    if len(found) != len(parts) or any(set(document) == {"Error"} for document in found):
        raise Failed(f"not all of this is YAML: {found}")
    return found


@dataclass
class Pod:
    """A pod, or what a workload makes its pods of."""

    name: str
    labels: dict[str, str]
    annotations: dict[str, str]
    spec: dict

    def is_selected(self, selector: dict[str, str]) -> bool:
        return selector.items() <= self.labels.items()

    def ports(self) -> set[str]:
        return {port["name"] for container in self.spec["containers"] for port in container.get("ports", [])}

    def why_not_restricted(self) -> list[str]:
        """What the Pod Security Standard `restricted` would say, as far as the chart's pods go."""
        own = self.spec.get("securityContext", {})
        problems = [name for name in ("hostNetwork", "hostPID", "hostIPC", "initContainers") if name in self.spec]
        problems += ["runAsNonRoot"] * (own.get("runAsNonRoot") is not True or own.get("runAsUser") == 0)
        problems += ["seccompProfile"] * (own.get("seccompProfile") != {"type": "RuntimeDefault"})
        problems += [f"volume {volume['name']}" for volume in self.spec.get("volumes", [])]
        for container in self.spec["containers"]:
            wished = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
            found = {name: value for name, value in container.get("securityContext", {}).items() if name != "readOnlyRootFilesystem"}
            problems += [f"{container['name']}: {found}"] * (found != wished)
        return problems


def name_of(item: dict) -> str:
    return f"{item['kind']} {item['metadata']['name']}"


def pods_of(objects: list[dict]) -> list[Pod]:
    found = []
    for item in objects:
        template = item if item["kind"] == "Pod" else item.get("spec", {}).get("template")
        if template:
            metadata = template["metadata"]
            found.append(Pod(name_of(item), metadata["labels"], metadata.get("annotations", {}), template["spec"]))
    return found


def selector_of(item: dict) -> dict[str, str] | None:
    """The labels of the pods that an object is about."""
    spec = item.get("spec", {})
    if item["kind"] == "Service":
        return spec["selector"]
    if item["kind"] in ("Deployment", "StatefulSet", "PodDisruptionBudget"):
        return spec["selector"]["matchLabels"]
    return spec["podSelector"]["matchLabels"] if item["kind"] == "NetworkPolicy" else None


def strings_in(node: object) -> list[str]:
    """Every key and every value, as text."""
    if isinstance(node, dict):
        return [text for pair in node.items() for part in pair for text in strings_in(part)]
    if isinstance(node, list):
        return [text for item in node for text in strings_in(item)]
    return [str(node)]
