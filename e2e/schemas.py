"""JSON schemas for kubeconform, made of what the API of a Kubernetes says of itself.

Stricter than that API where it would drop or default something: a field that it does not know is refused. What only the
API server can judge is not in them: formats, CEL rules, what is immutable.
"""

import json
from pathlib import Path

# The words that are taken over as they are, those that are converted, and those that refuse nothing.
TAKEN = {"$ref", "type", "required", "enum", "pattern", "minimum", "maximum"}
TAKEN |= {f"{bound}{what}" for bound in ("min", "max") for what in ("Length", "Items", "Properties")}
CONVERTED = {"properties", "additionalProperties", "items", "nullable"}
IGNORED = {"description", "title", "default", "format"}
OBJECT_METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
# Where kubeconform looks for the schema of an object. Of the core group it takes the version for the group.
LOCATION = "{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json"
# apiVersion and kind.
Kind = tuple[str, str]


def write_schemas(description: Path, kinds: set[Kind], resources: list[dict], folder: Path) -> None:
    """Of these kinds as the API description has them, and of those that CustomResourceDefinitions define."""
    definitions = json.loads(description.read_text(encoding="utf-8"))["definitions"]
    names = {kind: name for name, schema in definitions.items() for kind in kinds_of(schema)}
    for kind in kinds & set(names):
        write(folder, kind, schema_of(names[kind], definitions))
    for definition in resources:
        write_resource(folder, definition["spec"], definitions)


def write_resource(folder: Path, spec: dict, definitions: dict[str, dict]) -> None:
    for version in spec["versions"]:
        kind = (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
        schema = version["schema"]["openAPIV3Schema"]
        every = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"$ref": f"#/definitions/{OBJECT_METADATA}"}}
        schema = schema | {"properties": schema["properties"] | every}
        write(folder, kind, schema_of(kind[1], definitions | {kind[1]: schema}))


def kinds_of(schema: dict) -> list[Kind]:
    found = schema.get("x-kubernetes-group-version-kind", [])
    return [("/".join(filter(None, (kind["group"], kind["version"]))), kind["kind"]) for kind in found]


def write(folder: Path, kind: Kind, schema: dict) -> None:
    group, version = kind[0].split("/")[0], kind[0].split("/")[-1]
    path = folder / group / f"{kind[1].lower()}_{version}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(schema), encoding="utf-8")


def schema_of(name: str, definitions: dict[str, dict]) -> dict:
    """With all definitions that it leads to. They refer to each other, and one to itself: a schema is part of schemas."""
    found: dict[str, dict] = {}
    missing = {name}
    while missing:
        for wanted in missing:
            found[wanted] = converted(definitions[wanted])
            if wanted.endswith(".Quantity"):
                found[wanted]["type"] = ["string", "number"]
        missing = references(found) - set(found)
    return {"$schema": "http://json-schema.org/draft-07/schema#", "allOf": [{"$ref": f"#/definitions/{name}"}], "definitions": found}


def references(node: object) -> set[str]:
    if isinstance(node, list):
        return {name for item in node for name in references(item)}
    if not isinstance(node, dict):
        return set()
    own = {node["$ref"].removeprefix("#/definitions/")} if isinstance(node.get("$ref"), str) else set()
    return own | references(list(node.values()))


def converted(schema: dict) -> dict:
    if schema.get("format") == "int-or-string" or schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    unknown = {word for word in schema if not word.startswith("x-kubernetes-")} - TAKEN - CONVERTED - IGNORED
    if unknown:
        raise ValueError(f"this schema says {', '.join(sorted(unknown))}, which is not converted: {schema}")
    result = {word: schema[word] for word in TAKEN & set(schema)}
    if "properties" in schema:
        result["properties"] = {name: converted(child) for name, child in schema["properties"].items()}
        result["additionalProperties"] = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    for word in {"items", "additionalProperties"} & set(schema):
        result[word] = converted(schema[word]) if isinstance(schema[word], dict) else schema[word]
    return {"anyOf": [result, {"type": "null"}]} if schema.get("nullable") else result
