"""A pipeline of one process, as `cryptopipeline run` makes it: an embedded broker that dies with it, and SQLite."""

import json
import os
import subprocess
from pathlib import Path

from demo import pipeline as manifest_of, stop
from judge.snapshot import HEADS, HOLES, Unreachable
from judge.sqlite import Sqlite
from steps import Failed, wait_until

from .exchange import Exchange
from .market import generated, soon_traded
from .rig import INTERVALS, WAITS_VARIABLE, Rig, Variant
from .sampler import Sampler


# As long as the program itself waits for what is in flight.
LONGEST_DRAIN_S = 60


class Machine:
    """One process for one round; what a round asks of a pipeline."""

    def __init__(self, rig: Rig, folder: Path, seed: int, variant: Variant) -> None:
        folder.mkdir(parents=True)
        self.variant = variant
        self.exchange = Exchange(rig.programs / "exchange-sim", folder, generated(seed, variant.market))
        self.schema = Sqlite(folder / "market.db")
        self.sampler = Sampler(Sqlite(folder / "market.db"), None, "")
        # Nobody but the process itself can read its broker.
        self.topic_can_be_read = False
        self._log = folder / "run.log"
        manifest = folder / "pipeline.yaml"
        manifest.write_text(manifest_of(sorted(self.exchange.symbols()), self.exchange.address, json.dumps(INTERVALS), variant.said()), encoding="utf-8")
        self._line = [rig.programs / "cryptopipeline", "run", manifest]
        self._environment = os.environ | WAITS_VARIABLE | {"LOG_FORMAT": "text"} | variant.environment
        self._process: subprocess.Popen | None = None

    def begin(self) -> None:
        self._start()
        symbols = soon_traded(self.variant.market)
        wait_until(f"trades of {symbols} symbols are held", 90, lambda: sum(1 for row in self._rows(HEADS) if row["trades_held"] != "0") >= symbols)
        self.sampler.begin()

    def kill(self) -> str:
        """kill -9, and started again: what was in its broker is lost."""
        pid = self._process.pid
        self._process.kill()
        self._process.wait()
        self._start()
        return f"cryptopipeline run {pid} was killed"

    def trades_held(self) -> int:
        return sum(int(row["trades_held"]) for row in self._rows(HEADS))

    def says_continuous(self) -> bool:
        """By its ledger: the process prints its conditions, and answers nobody."""
        return not self._rows(HOLES)

    def check(self) -> None:
        if self.sampler.failure is not None:
            raise Failed(f"a part of the test has failed: {self.sampler.failure!r}")
        if self._process.poll() is not None:
            raise Failed(f"cryptopipeline run has ended: {self._log.read_text(encoding='utf-8', errors='replace')[-2000:]}")

    def end(self) -> None:
        self.sampler.end()
        if self._process is not None:
            stop(self._process, LONGEST_DRAIN_S)

    def remove(self) -> None:
        self.exchange.kill()

    def _start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._line, stdout=log, stderr=subprocess.STDOUT, env=self._environment)

    def _rows(self, name: str) -> list[dict[str, str | None]]:
        try:
            return self.schema.snapshot(name)[name]
        except Unreachable:
            return []
