"""What the operator takes while it keeps one pipeline, on a bare control plane."""

import json
import os

from judge.postgres import Postgres
from process import Process
from steps import apply_crd

from .rig import SYMBOLS, Bench, Figures, kubectl, unique


def operator(bench: Bench) -> Figures:
    """What the operator takes while it keeps one pipeline."""
    name = unique("bench")
    topic, schema = name, name.replace("-", "_")
    url = os.environ["POSTGRES_URL"]
    apply_crd(kubectl)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"uri": url}}
    try:
        with bench.program("operator", "operator", "--namespace", "default", "--listen", "127.0.0.1:0") as (operator, _):
            for item in (secret, pipeline(name, topic, schema)):
                kubectl("apply", "-f", "-", stdin=json.dumps(item))
            kubectl("wait", "--for=condition=SchemaReady", f"cpl/{name}", "--timeout=60s")
            kubectl("wait", "--for=condition=TopicReady", f"cpl/{name}", "--timeout=60s")
            return {"operator MB": Process(operator.pid).peak_mb()}
    finally:
        kubectl("delete", f"cpl/{name}", f"secret/{name}", "--ignore-not-found", "--timeout=60s")
        Postgres(url, schema).drop()


def pipeline(name: str, topic: str, schema: str) -> dict:
    return {
        "apiVersion": "cryptopipeline.dev/v1alpha1",
        "kind": "CryptoPipeline",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "sources": [{"name": "binance", "exchange": "binance", "symbols": list(SYMBOLS)}],
            "kafka": {"bootstrapServers": os.environ["KAFKA_BOOTSTRAP"], "topic": {"name": topic, "partitions": 3}},
            "aggregation": {"intervals": ["1m", "5m"]},
            "database": {"connectionSecret": {"name": name, "key": "uri"}, "schema": schema},
        },
    }
