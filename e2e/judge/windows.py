"""Candles and windows without trades: every claim must be true, and what can be proven must be claimed."""

import csv
from dataclasses import fields
from datetime import datetime, timezone
from decimal import Decimal
from typing import Iterable

from .candles import Candle, interval_us
from .snapshot import NO_FLOOR_US, Row, StoredCandle, stored_candle
from .truth import Truth, series_name
from .verdict import Verdict

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def judge_complete_candles(verdict: Verdict, candles: Iterable[StoredCandle], truths: dict[str, Truth]) -> None:
    """Every candle that claims to be complete must equal the truth in every field."""
    for stored in candles:
        if not stored.complete:
            continue
        verdict.complete += 1
        truth = truths.get(stored.symbol)
        expected = truth and truth.candle(stored.interval_us, stored.open_us)
        different = difference(stored.candle, expected) if expected else "the log has no such window"
        if different:
            verdict.wrong(f"{stored}: {different}")
        else:
            verdict.equal += 1


def judge_held_candles(verdict: Verdict, symbol: str, candles: list[StoredCandle], held: Truth, known_since_us: dict[int, int]) -> None:
    """Complete or not, a candle is what the held trades of its window make. `known_since_us`: by interval, since when it
    has received every trade; before that, and in other intervals, it may have too little of everything."""
    found = {(stored.interval_us, stored.open_us): stored for stored in candles}
    for length_us, since_us in known_since_us.items():
        for open_us, expected in held.candles(length_us).items():
            stored = found.pop((length_us, open_us), None)
            if expected.trade_count == 0 and stored is None:
                continue
            name = stored or f"{symbol} candle of {length_us // 1_000_000} s at {open_us} us"
            if open_us <= since_us:
                if stored and not _is_part_of(stored.candle, expected):
                    verdict.wrong(f"{name}: it is no part of what is held: {difference(stored.candle, expected)}")
            elif stored is None:
                verdict.wrong(f"{name}: it is not there, and {expected.trade_count} of its trades are held")
            elif different := difference(stored.candle, expected):
                verdict.wrong(f"{name}: by the trades held {different}")
    for (length_us, open_us), stored in found.items():
        expected = held.candles(length_us).get(open_us)
        if expected is None or length_us in known_since_us or not _is_part_of(stored.candle, expected):
            verdict.wrong(f"{stored}: the trades held do not make it")


def judge_empty_windows(verdict: Verdict, rows: list[Row], truths: dict[str, Truth]) -> None:
    """Windows that are said to be empty must be, with the close before them."""
    for row in rows:
        symbol, length_us, open_us = row["symbol"], int(row["interval_s"]) * 1_000_000, int(row["open_us"])
        name = f"{symbol} window of {row['interval_s']} s at {open_us} us"
        expected = truths[symbol].candle(length_us, open_us) if symbol in truths else None
        if expected is None:
            verdict.wrong(f"{name}: nothing can be said before the first trade")
        elif expected.trade_count:
            verdict.wrong(f"{name}: it is said to be empty and has {expected.trade_count} trades")
        elif row["close"] is not None and Decimal(row["close"]) != expected.close:
            verdict.wrong(f"{name}: the close before it is {expected.close}, not {row['close']}")


def judge_provable_windows(
    verdict: Verdict, claimed: set[tuple[str, int, int]], truths: dict[str, Truth], intervals_us: Iterable[int], floor_us: int = NO_FLOOR_US
) -> None:
    """Where nothing is missing, every window that the log proves must be claimed: (symbol, interval, open). Nothing needs
    to be claimed below the floor, nor of a window without trades behind it whose price has been dropped."""
    for symbol, truth in sorted(truths.items()):
        for length_us in sorted(intervals_us):
            has_price = floor_us == NO_FLOOR_US
            for open_us in truth.windows(length_us):
                candle = truth.candle(length_us, open_us)
                has_price |= open_us >= floor_us and candle is not None and candle.trade_count > 0
                if has_price and (symbol, length_us, open_us) not in claimed:
                    verdict.wrong(f"{symbol} window of {length_us // 1_000_000} s at {open_us} us: it is not complete")


def claims(candles: Iterable[StoredCandle], empty: Iterable[Row] = ()) -> set[tuple[str, int, int]]:
    """The windows that are said to be complete, with trades or without."""
    found = {(stored.symbol, stored.interval_us, stored.open_us) for stored in candles if stored.complete}
    return found | {(row["symbol"], int(row["interval_s"]) * 1_000_000, int(row["open_us"])) for row in empty}


def judge_printed(text: str, truths: dict[str, Truth]) -> Verdict:
    """The CSV of `cryptopipeline candles -o csv`: claims true, and everything that can be proven claimed."""
    candles = [_printed_candle(row) for row in csv.DictReader(text.splitlines())]
    verdict = Verdict()
    judge_complete_candles(verdict, candles, truths)
    judge_provable_windows(verdict, claims(candles), truths, {stored.interval_us for stored in candles})
    for symbol in sorted(set(truths) - {stored.symbol for stored in candles}):
        verdict.wrong(f"{symbol}: no candles at all")
    return verdict


def difference(candle: Candle, expected: Candle) -> str:
    """The fields that are not equal."""
    names = [field.name for field in fields(Candle) if getattr(candle, field.name) != getattr(expected, field.name)]
    return ", ".join(f"{name} is {getattr(candle, name)}, not {getattr(expected, name)}" for name in names)


def _is_part_of(part: Candle, whole: Candle) -> bool:
    sums = ("volume", "quote_volume", "trade_count", "taker_buy_volume", "taker_buy_quote_volume")
    return (
        whole.trade_count > 0
        and all(getattr(part, name) <= getattr(whole, name) for name in sums)
        and whole.low <= part.low <= part.high <= whole.high
        and whole.first_trade_id <= part.first_trade_id <= part.last_trade_id <= whole.last_trade_id
    )


def _printed_candle(row: Row) -> StoredCandle:
    translated = {
        "symbol": series_name(row["symbol"], int(row.get("series") or 0)),
        "interval_s": str(interval_us(row["interval"]) // 1_000_000),
        "open_us": str(_microseconds(row["open_time"])),
        "complete": "1" if row["complete"] == "true" else "0",
    }
    return stored_candle(row | translated)


def _microseconds(text: str) -> int:
    since = datetime.fromisoformat(text.replace("Z", "+00:00")) - EPOCH
    return (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds
