"""Sampled prices against what the exchange has traded, and their candles against the samples."""

import bisect
import itertools
from collections import Counter
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal, localcontext
from typing import Callable

from . import snapshot as of
from .snapshot import Row, Snapshot
from .trades import EIGHT_DECIMALS, Trade
from .verdict import Verdict

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
DAY_COLUMNS = ("day_open", "day_high", "day_low", "day_volume", "day_quote_volume", "day_trade_count")


class Prices:
    """The log of a symbol that is shorter than a day, by time."""

    def __init__(self, log: list[Trade]) -> None:
        self.log = sorted(log, key=lambda trade: (trade.time_us, trade.trade_id))
        self.times = [trade.time_us for trade in self.log]
        if self.log and self.times[-1] - self.times[0] >= DAY_US:
            raise ValueError("the log is longer than the day that a ticker speaks of")
        self.highs = list(itertools.accumulate((trade.price for trade in self.log), max))
        self.lows = list(itertools.accumulate((trade.price for trade in self.log), min))
        with localcontext() as context:
            context.prec = 60
            self.volumes = list(itertools.accumulate(trade.quantity for trade in self.log))
            self.values = list(itertools.accumulate(trade.price * trade.quantity for trade in self.log))

    def between(self, from_us: int, to_us: int) -> set[Decimal]:
        """The prices that were the last one at some moment from one time to another."""
        first = max(bisect.bisect_right(self.times, from_us) - 1, 0)
        return {trade.price for trade in self.log[first : bisect.bisect_right(self.times, to_us)]}

    def ticker(self, before_us: int) -> dict[str, Decimal] | None:
        """What a ticker says of the trades before a moment."""
        count = bisect.bisect_left(self.times, before_us)
        if count == 0:
            return None
        last = count - 1
        day = (self.log[0].price, self.highs[last], self.lows[last], self.volumes[last], self.values[last].quantize(EIGHT_DECIMALS, ROUND_DOWN), Decimal(count))
        return {"price": self.log[last].price, **dict(zip(DAY_COLUMNS, day))}


# Says what is wrong with a sample, or nothing.
Truth = Callable[[Prices, Row], str | None]


def of_stream(prices: Prices, row: Row) -> str | None:
    """A stream speaks on whole seconds of what was before; it says the time a moment later."""
    time_us = int(row["sample_us"])
    expected = prices.ticker(time_us - time_us % SECOND_US)
    found = {name: None if row[name] is None else Decimal(row[name]) for name in ("price", *DAY_COLUMNS)}
    return None if found == expected else f"is {found}, the exchange said {expected}"


@dataclass
class OfPoll:
    """Prices are asked for once a turn, and say no time: one that was the last at some moment of the turn's question."""

    turn_us: int
    longest_us: int

    def __call__(self, prices: Prices, row: Row) -> str | None:
        time_us = int(row["sample_us"])
        if time_us % self.turn_us:
            return f"is of {time_us}, which is no turn"
        if any(row[name] is not None for name in DAY_COLUMNS):
            return "says something of the day, which nobody asked for"
        possible = prices.between(time_us, time_us + self.longest_us)
        return None if Decimal(row["price"]) in possible else f"is {row['price']}, the last ones were {sorted(possible)}"


def judge_samples(found: Snapshot, logs: dict[str, list[Trade]], truth: Truth, intervals_us: list[int]) -> Verdict:
    """Every sample is what the exchange said then, and every candle what its samples make; `complete` counts those."""
    verdict = Verdict()
    prices = {symbol: Prices(log) for symbol, log in logs.items()}
    samples: dict[str, dict[int, Decimal]] = {symbol: {} for symbol in logs}
    for row in found[of.SAMPLES]:
        symbol, time_us = row["symbol"], int(row["sample_us"])
        if symbol not in prices:
            verdict.wrong(f"{symbol}: nobody has said its price")
            continue
        if time_us in samples[symbol]:
            verdict.wrong(f"{symbol}: the sample of {time_us} is there twice")
        if problem := truth(prices[symbol], row):
            verdict.wrong(f"{symbol}: the sample of {time_us} {problem}")
        samples[symbol][time_us] = Decimal(row["price"])
        verdict.trades += 1
    judge_candles(verdict, found[of.SAMPLE_CANDLES], samples, intervals_us)
    judge_latest(verdict, found[of.LATEST], samples)
    read, new = (sum(int(row[name]) for row in found[of.OFFSETS]) for name in ("records_read", "samples_new"))
    if new != verdict.trades or read < new:
        verdict.wrong(f"of {read} records {new} were counted as new samples, {verdict.trades} are there")
    return verdict


def judge_candles(verdict: Verdict, rows: list[Row], samples: dict[str, dict[int, Decimal]], intervals_us: list[int]) -> None:
    expected = {
        (symbol, interval_us, open_us): candle
        for symbol, of_symbol in samples.items()
        for interval_us in intervals_us
        for open_us, candle in candles_of(of_symbol, interval_us).items()
    }
    seen: Counter = Counter()
    for row in rows:
        key = (row["symbol"], int(row["interval_s"]) * SECOND_US, int(row["open_us"]))
        seen[key] += 1
        stored = {name: Decimal(row[name]) for name in ("open", "high", "low", "close", "average", "sample_count")}
        verdict.complete += 1
        if stored == expected.get(key):
            verdict.equal += 1
        else:
            verdict.wrong(f"the candle of samples {key} is {stored}, its samples make {expected.get(key)}")
    if missing := expected.keys() - seen.keys():
        verdict.wrong(f"{len(missing)} candles of samples are missing, such as {min(missing)}")
    if repeated := [key for key, count in seen.items() if count > 1]:
        verdict.wrong(f"candles of samples are there twice, such as {min(repeated)}")


def candles_of(samples: dict[int, Decimal], interval_us: int) -> dict[int, dict[str, Decimal]]:
    """By open time."""
    groups: dict[int, list[Decimal]] = {}
    for time_us in sorted(samples):
        groups.setdefault(time_us - time_us % interval_us, []).append(samples[time_us])
    with localcontext() as context:
        context.prec = 60
        return {
            open_us: {
                "open": group[0],
                "high": max(group),
                "low": min(group),
                "close": group[-1],
                "average": (sum(group) / len(group)).quantize(EIGHT_DECIMALS, ROUND_HALF_EVEN),
                "sample_count": Decimal(len(group)),
            }
            for open_us, group in groups.items()
        }


def judge_latest(verdict: Verdict, rows: list[Row], samples: dict[str, dict[int, Decimal]]) -> None:
    found = {row["symbol"]: (int(row["sample_us"]), Decimal(row["price"]), int(row["samples_held"])) for row in rows}
    expected = {symbol: (max(held), held[max(held)], len(held)) for symbol, held in samples.items() if held}
    if found != expected or len(rows) != len(found):
        verdict.wrong(f"the latest prices are {found}, the samples say {expected}")
