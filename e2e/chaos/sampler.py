"""Looks at everything that a pipeline claims, five times a second, and keeps it until the truth is known."""

import time
from dataclasses import dataclass

from apiserver import ApiServer
from judge import snapshot as of
from judge.snapshot import CLAIMS, Database, Row, Snapshot, Unreachable

from .background import Background

INTERVAL_S = 0.2

# What is the same in most samples is kept once.
REPEATED = (of.CLAIMED_CANDLES, of.EMPTY)


@dataclass
class Sample:
    """What was claimed at a moment: by the database in one snapshot, and by the resource just before."""

    at_s: float
    conditions: dict[str, dict]
    rows: Snapshot | None


class Sampler(Background):
    """Samples until it is stopped."""

    def __init__(self, database: Database, api: ApiServer | None, pipeline: str) -> None:
        super().__init__()
        self.samples: list[Sample] = []
        self.repeated: dict[str, dict[tuple, Row]] = {name: {} for name in REPEATED}
        self._database = database
        self._api = api
        self._pipeline = pipeline

    def end(self) -> None:
        self.stop()
        self._database.close()

    def once(self, name: str) -> list[Row]:
        """Every row of that name that was seen in any sample, once."""
        return list(self.repeated[name].values())

    def go_on(self) -> None:
        next_s = time.monotonic()
        while not self._stop.is_set():
            self.samples.append(self._sample())
            next_s = max(next_s + INTERVAL_S, time.monotonic())
            self._stop.wait(next_s - time.monotonic())

    def _sample(self) -> Sample:
        conditions = self._conditions()
        at_s = time.monotonic()
        try:
            rows = self._database.snapshot(*CLAIMS)
        except Unreachable:
            return Sample(at_s, conditions, None)
        for name in REPEATED:
            for row in rows[name]:
                self.repeated[name].setdefault(tuple(row.values()), row)
            rows[name] = []
        return Sample(at_s, conditions, rows)

    def _conditions(self) -> dict[str, dict]:
        pipeline = self._api and self._api.get("cryptopipelines", self._pipeline)
        listed = (pipeline or {}).get("status", {}).get("conditions", [])
        return {condition["type"]: condition for condition in listed}
