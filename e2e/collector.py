"""A real OpenTelemetry Collector (../testbed/collector), and the spans that it was sent."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from demo import stop
from steps import Failed, wait_until

# Kinds of spans, as OTLP numbers them.
INTERNAL, CLIENT, PRODUCER, CONSUMER = 1, 3, 4, 5
FAILED = 2


@dataclass(frozen=True)
class Span:
    """What a test looks at of a span."""

    service: str
    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, str]
    links: frozenset[tuple[str, str]]
    events: tuple[str, ...]
    failed: bool

    @property
    def place(self) -> tuple[str, str]:
        """What a link to it says."""
        return self.trace_id, self.span_id


class Collector:
    """The program, on a port of its own, and the file that it writes."""

    def __init__(self, folder: Path, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"
        self.file = folder / "traces.json"
        self.log = folder / "collector.log"
        settings = {
            "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}},
            "exporters": {"file": {"path": str(self.file), "flush_interval": "100ms"}},
            "service": {
                "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["file"]}},
                "telemetry": {"metrics": {"level": "none"}},
            },
        }
        path = folder / "collector.json"
        path.write_text(json.dumps(settings), encoding="utf-8")
        with self.log.open("wb") as log:
            line = [os.environ["TESTBED_COLLECTOR"], "--config", str(path)]
            self._process = subprocess.Popen(line, stdout=log, stderr=subprocess.STDOUT)
        wait_until("the collector listens", 60, self._listens)

    def _listens(self) -> bool:
        if self._process.poll() is not None:
            raise Failed(f"the collector has ended:\n{self.log.read_text(encoding='utf-8')}")
        return "Everything is ready" in self.log.read_text(encoding="utf-8")

    def end(self) -> None:
        stop(self._process)

    def spans(self) -> list[Span]:
        """All that it has written so far."""
        if not self.file.exists():
            return []
        text = self.file.read_text(encoding="utf-8")
        # The last line may be on its way.
        requests = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        return [span for request in requests for resource in request["resourceSpans"] for span in spans_of(resource)]


def spans_of(resource: dict) -> list[Span]:
    told = attributes_of(resource["resource"])
    spans = [span for scope in resource["scopeSpans"] for span in scope["spans"]]
    return [
        Span(
            service=told["service.name"],
            name=span["name"],
            kind=span["kind"],
            trace_id=span["traceId"],
            span_id=span["spanId"],
            parent_id=span.get("parentSpanId", ""),
            attributes=told | attributes_of(span),
            links=frozenset((link["traceId"], link["spanId"]) for link in span.get("links", [])),
            events=tuple(event["name"] for event in span.get("events", [])),
            failed=span.get("status", {}).get("code") == FAILED,
        )
        for span in spans
    ]


def attributes_of(thing: dict) -> dict[str, str]:
    """Their values as text, whatever their type."""
    return {pair["key"]: str(next(iter(pair["value"].values()), "")) for pair in thing.get("attributes", [])}
