"""A simulated exchange with a generated market, for tests whose pods reach it, and what it has really traded."""

import subprocess
from pathlib import Path

import demo
import simulator
from judge.indicators import NOTHING_SAID, Indicators
from judge.judge import judge_everything
from judge.postgres import Postgres
from judge.snapshot import EVERYTHING
from judge.trades import Trade
from judge.truth import truths
from steps import Failed, wait_until

SYMBOLS = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "ADAUSDT"]
# Minutes of the market in seconds: some have to be complete.
SPEED = 10


class GeneratedMarket:
    """Two trades a second of each symbol, in the market's time, or as many as `rates` say."""

    def __init__(self, programs: Path, address: str, folder: Path, speed: int = SPEED, rates: dict[str, int] | None = None, waits: bool = True) -> None:
        self.programs = programs
        self.address = address
        self.folder = folder
        self.speed = speed
        self.rates = dict.fromkeys(SYMBOLS, 2) | (rates or {})
        # For the first subscription: who asks for prices never subscribes.
        self.wait = ["--wait"] if waits else []
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for old in self.folder.glob("*.csv"):
            old.unlink()
        rates = [f"{symbol}={rate}/s" for symbol, rate in self.rates.items()]
        arguments = ["--listen", self.address, "--speed", str(self.speed), "--generate", *rates, *self.wait, "--write-log", str(self.folder)]
        with (self.folder / "exchange-sim.out").open("wb") as file:
            self.process = subprocess.Popen([self.programs / "exchange-sim", *arguments], stdout=file, stderr=subprocess.STDOUT)
        wait_until("the exchange answers", 30, self.answers)

    def answers(self) -> bool:
        try:
            return bool(simulator.status(self.address))
        except OSError:
            return False

    def last_played(self) -> dict[str, int]:
        """The last trade id of each symbol."""
        return {row["symbol"]: row["last_played_id"] for row in simulator.status(self.address)["symbols"]}

    def wait_until_held(self, database: Postgres) -> None:
        """Until everything that is played by now is in the database, without a hole."""
        played = self.last_played()
        last = "SELECT symbol, last_trade_id FROM symbol_head"

        def are_held() -> bool:
            held = {row["symbol"]: int(row["last_trade_id"]) for row in database.query(last)}
            return all(held.get(symbol, 0) >= trade_id for symbol, trade_id in played.items())

        wait_until("what was played by now is held", 60, are_held)
        holes = "SELECT count(*) AS holes FROM holes"
        wait_until("no trade is missing", 60, lambda: database.query(holes)[0]["holes"] == "0")

    def logs(self) -> dict[str, list[Trade]]:
        """What it has traded, by symbol; it has ended."""
        logs = demo.read_logs(self.folder)
        if set(logs) != set(SYMBOLS):
            raise Failed(f"the exchange has written of {', '.join(sorted(logs))}")
        return logs

    def end_and_judge(self, database: Postgres, said: Indicators = NOTHING_SAID) -> None:
        """The exchange ends; every trade that it made until then is there once or is to come, every claim is true."""
        self.stop()
        verdict = judge_everything(database.snapshot(*EVERYTHING), truths(self.logs()), True, said=said)
        print(f"   {database.trades_held()} trades held; {verdict}", flush=True)
        if not verdict.passed():
            raise Failed("\n".join(verdict.problems[:20]) or "no candle claims to be complete")

    def stop(self) -> None:
        """It then writes the rest of its log."""
        if self.process and self.process.poll() is None:
            demo.stop(self.process)
