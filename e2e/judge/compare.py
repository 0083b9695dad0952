"""Compares the candles that `cryptopipeline candles -o csv` prints with those of a trade log."""

import csv
from dataclasses import fields
from datetime import datetime, timezone
from decimal import Decimal
from typing import Iterable

from .candles import Candle, candles, interval_us, whole_windows
from .trades import Trade

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Verdict:
    """What was compared, and what was wrong."""

    def __init__(self) -> None:
        self.complete = 0
        self.equal = 0
        self.problems: list[str] = []

    def passed(self) -> bool:
        """Whether something was claimed, and every claim holds."""
        return self.complete > 0 and not self.problems

    def __str__(self) -> str:
        return f"{self.equal} of {self.complete} complete candles equal the exchange's"


def compare(rows: Iterable[dict[str, str]], logs: dict[str, list[Trade]]) -> Verdict:
    """Judges rows of the CSV against the logs of the symbols: every complete candle must be equal, and every
    window that a log proves must be complete, in every interval that there are rows of."""
    verdict = Verdict()
    by_market: dict[tuple[str, str], dict[int, dict[str, str]]] = {}
    for row in rows:
        by_market.setdefault((row["symbol"], row["interval"]), {})[_microseconds(row["open_time"])] = row
    for symbol in sorted(set(logs) - {symbol for symbol, _ in by_market}):
        verdict.problems.append(f"{symbol}: no candles at all")
    for (symbol, interval), found in sorted(by_market.items()):
        length_us = interval_us(interval)
        expected = candles(logs.get(symbol, []), length_us)
        for open_us, row in sorted(found.items()):
            if row["complete"] == "true":
                _judge(verdict, f"{symbol} {interval} {row['open_time']}", row, expected.get(open_us))
        for open_us in whole_windows(logs.get(symbol, []), length_us):
            if found.get(open_us, {}).get("complete") != "true":
                verdict.problems.append(f"{symbol} {interval}: the window at {open_us} us is not complete")
    return verdict


def _judge(verdict: Verdict, name: str, row: dict[str, str], expected: Candle | None) -> None:
    verdict.complete += 1
    if expected is None:
        verdict.problems.append(f"{name}: the log has no such window")
        return
    different = [field.name for field in fields(Candle) if _read(row[field.name], field.name) != getattr(expected, field.name)]
    if different:
        details = ", ".join(f"{name} is {row[name]}, not {getattr(expected, name)}" for name in different)
        verdict.problems.append(f"{name}: {details}")
    else:
        verdict.equal += 1


def _read(text: str, name: str) -> Decimal | int | None:
    if name.endswith("_id"):
        return int(text) if text else None
    return int(text) if name == "trade_count" else Decimal(text)


def _microseconds(text: str) -> int:
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    since = moment - EPOCH
    return (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds


def read_csv(text: str) -> list[dict[str, str]]:
    """The rows of the CSV."""
    return list(csv.DictReader(text.splitlines()))
