"""The simulated exchange of a round, with its faults."""

import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path

import simulator
from demo import read_logs, stop, wait_for_address
from judge.trades import Trade
from steps import wait_until

from .market import LEAST_TRADES

# How long an answer about the past takes, until something has gone wrong meanwhile.
PAST_DELAY_MS = 3_000
PAST_DELAYED_MS = 600_000


class Exchange:
    """A process that plays a generated market."""

    def __init__(self, program: Path, folder: Path, arguments: list[str]) -> None:
        self.played = folder / "played"
        self.log = folder / "exchange-sim.log"
        line = [program, "--listen", "127.0.0.1:0", "--write-log", self.played, *arguments]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(line, stdout=log, stderr=subprocess.STDOUT)
        self.address = wait_for_address(self._process, self.log)

    def command(self, name: str, **arguments: object) -> None:
        simulator.command(self.address, name, **arguments)

    def status(self) -> dict:
        return simulator.status(self.address)

    def symbols(self) -> dict[str, dict]:
        return {row["symbol"]: row for row in self.status()["symbols"]}

    def trades_played(self) -> int:
        """Trades of all symbols so far."""
        return sum(row["played"] for row in self.status()["symbols"])

    def delay_the_past(self) -> None:
        """Yesterday comes from the daily files at once, and what is older by REST alone, which takes its time."""
        for days_ago in (2, 3):
            day = datetime.now(timezone.utc).date() - timedelta(days=days_ago)
            for symbol in self.symbols():
                self.command("spoil_dump", symbol=symbol, date=day.isoformat(), fault="absent")
        self.command("slow_rest", delay_ms=PAST_DELAY_MS, for_ms=PAST_DELAYED_MS)

    def end_trading(self) -> None:
        """Once enough was traded, nothing more is."""
        wait_until(f"{LEAST_TRADES} trades are played", 120, lambda: self.trades_played() >= LEAST_TRADES)
        for symbol in self.symbols():
            self.command("set_status", symbol=symbol, status="HALT")

    def end(self) -> dict[str, list[Trade]]:
        """Stops it; the trades that it has played, by symbol."""
        stop(self._process)
        return read_logs(self.played)

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
