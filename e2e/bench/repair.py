"""How fast an hour that is missing comes back, and what that does to trades that come meanwhile.

The hour is asked for like any hole: half of the exchange's request budget is what it may take at most. Other symbols are
traded on another exchange all the time: how old their trades are when they can be read is measured without a repair, and
again while it runs.
"""

import contextlib
import threading
import time
from datetime import datetime, timedelta, timezone

import simulator
from judge.postgres import Postgres

from .rig import Bench, Figures

SYMBOL, RATE = "MISSINGUSDT", 50
# What an address may ask in a minute, what a question for trades costs, and how many an answer brings beside the one
# that proves where they begin (../worker/src/exchange/binance_rest.rs).
WEIGHT_PER_MINUTE, WEIGHT, TRADES = 6_000, 25, 999
SKIP_S = 5
LONGEST_S = 900


def repair(bench: Bench, missing_s: int, rate: int, seconds: int) -> Figures:
    """Trades per second of the repair beside what half of the budget allows, refusals, and the latency without and with."""
    topic = bench.topic("bench-repair")
    with contextlib.ExitStack() as stack:
        tables = stack.enter_context(bench.postgres())
        past = ["--generate", f"{SYMBOL}={RATE}/s", "--history", f"{missing_s}s", "--weight-per-minute", str(WEIGHT_PER_MINUTE)]
        exchange = stack.enter_context(bench.exchange("exchange-of-the-past", *past))
        began = datetime.now(timezone.utc)
        # In the first hour of a day, the missing one would come from a file.
        yesterday = (began - timedelta(days=1)).date().isoformat()
        simulator.command(exchange, "spoil_dump", symbol=SYMBOL, date=yesterday, fault="absent")
        stack.enter_context(bench.aggregator(topic, tables, {}, "aggregator-repair"))
        stack.enter_context(bench.live_market(topic, rate))
        source = bench.source("past", [SYMBOL], exchange)
        stack.enter_context(bench.producer("producer-of-the-past", topic, source))
        calm = bench.watch(topic, tables, seconds)
        settings = {
            "pipeline": {"namespace": "bench", "name": "bench", "uid": "bench"},
            "sources": [source],
            "kafka": bench.kafka | {"topic": topic},
            "database": {"schema": tables.schema},
            "history": {
                "sources": {"past": {"from": (began - timedelta(seconds=missing_s)).strftime("%Y-%m-%dT%H:%M:%SZ"), "dumpsUrl": f"http://{exchange}/data"}},
                "intervals": ["1m", "5m"],
                "storeTrades": True,
            },
        }
        stack.enter_context(bench.worker("repairer", "repair", bench.settings("repairer", settings), tables))
        repaired = _Repair(Postgres(tables.url, tables.schema))
        busy = bench.watch(topic, tables, seconds, skip_s=SKIP_S)
        trades, took_s = repaired.wait()
        allowed_s = trades / TRADES * WEIGHT / (WEIGHT_PER_MINUTE / 2) * 60
        told = simulator.status(exchange)
        return {
            "repaired trades": trades,
            "repair s": took_s,
            "repair by half of the budget s": allowed_s,
            "repair requests refused": told["rate_limited_requests"] + told["banned_requests"],
            "latency without repair p99 ms": calm["exchange_to_row"]["p99_ms"],
            "latency with repair p99 ms": busy["exchange_to_row"]["p99_ms"],
        }


class _Repair:
    """Watches the hole, from when it is known until it is closed."""

    def __init__(self, database: Postgres) -> None:
        self._database = database
        self._trades, self._took_s = 0, 0.0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def wait(self) -> tuple[int, float]:
        """How many trades were missing, and how long they were."""
        self._thread.join()
        if not self._took_s:
            raise SystemExit(f"{self._trades} trades were missing, and not all of them came back within {LONGEST_S} s")
        return self._trades, self._took_s

    def _watch(self) -> None:
        with contextlib.closing(self._database) as database:
            begun = 0.0
            deadline = time.monotonic() + LONGEST_S
            while time.monotonic() < deadline:
                query = "SELECT coalesce(sum(last_id - first_id + 1), 0) AS missing FROM holes JOIN symbol_head USING (symbol_id) WHERE venue = 'past'"
                missing = int(database.query(query)[0]["missing"])
                now = time.monotonic()
                # A few are missing now and then, until the next flush.
                if missing > RATE and not begun:
                    begun, self._trades = now, missing
                if begun and not missing:
                    self._took_s = now - begun
                    return
                time.sleep(0.1)
