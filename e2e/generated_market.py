"""A simulated exchange with a generated market, for tests whose pods reach it, and what it has really traded."""

import subprocess
from pathlib import Path

import demo
import simulator
from judge.judge import judge_everything
from judge.postgres import Postgres
from judge.snapshot import EVERYTHING
from judge.trades import read_trades, symbol_of
from judge.truth import truths
from steps import Failed, wait_until

SYMBOLS = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "ADAUSDT"]
# Minutes of the market in seconds: some have to be complete.
SPEED = 10


class GeneratedMarket:
    """Two trades a second of each symbol, in the market's time."""

    def __init__(self, programs: Path, address: str, folder: Path) -> None:
        self.programs = programs
        self.address = address
        self.folder = folder
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for old in self.folder.glob("*.csv"):
            old.unlink()
        rates = [f"{symbol}=2/s" for symbol in SYMBOLS]
        arguments = ["--listen", self.address, "--speed", str(SPEED), "--generate", *rates, "--wait", "--write-log", str(self.folder)]
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

    def end_and_judge(self, database: Postgres) -> None:
        """The exchange ends; every trade that it made until then is there once or is to come, every claim is true."""
        demo.stop(self.process)
        logs: dict[str, list] = {}
        for path in sorted(self.folder.glob("*.csv")):
            logs.setdefault(symbol_of(path), []).extend(read_trades(path))
        if set(logs) != set(SYMBOLS):
            raise Failed(f"the exchange has written of {', '.join(sorted(logs))}")
        verdict = judge_everything(database.snapshot(*EVERYTHING), truths(logs), True)
        print(f"   {database.trades_held()} trades held; {verdict}", flush=True)
        if not verdict.passed():
            raise Failed("\n".join(verdict.problems[:20]) or "no candle claims to be complete")

    def stop(self) -> None:
        if self.process:
            demo.stop(self.process)
