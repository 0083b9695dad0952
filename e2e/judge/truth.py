"""What is true of a market, from the log of its trades alone."""

import bisect
import itertools
from typing import Iterable

from .candles import Candle, candles, empty_candle, whole_windows
from .trades import Trade


class Truth:
    """The log of one series of a symbol, ascending by id, and what follows from it."""

    def __init__(self, log: list[Trade], ends_us: int | None = None) -> None:
        """`ends_us` is when the exchange began to number the trades anew."""
        self.log = log
        self.ends_us = ends_us
        self.by_id = {trade.trade_id: trade for trade in log}
        self._ids = sorted(self.by_id)
        self._by_time = sorted(log, key=lambda trade: (trade.time_us, trade.trade_id))
        self._times = [trade.time_us for trade in self._by_time]
        self._highest_ids = list(itertools.accumulate((trade.trade_id for trade in self._by_time), max))
        self._candles: dict[int, dict[int, Candle]] = {}

    def candle(self, interval_us: int, open_us: int) -> Candle | None:
        """The candle of a window, made of the last price where it has no trade; None before the first trade, and where
        the next series has begun before the window's end."""
        if self.ends_us is not None and open_us + interval_us > self.ends_us:
            return None
        made = self.candles(interval_us)
        if open_us in made or not made or open_us < min(made):
            return made.get(open_us)
        # Behind the last trade nothing happens any more.
        return empty_candle(self.log[-1].price)

    def candles(self, interval_us: int) -> dict[int, Candle]:
        """From the first trade's window to the last one's."""
        made = self._candles.get(interval_us)
        if made is None:
            made = self._candles[interval_us] = candles(self.log, interval_us)
        return made

    def windows(self, interval_us: int) -> list[int]:
        """Windows that the log proves."""
        return whole_windows(self.log, interval_us)

    def count(self, ids: range) -> int:
        """How many trades have one of these consecutive ids."""
        return bisect.bisect_left(self._ids, ids.stop) - bisect.bisect_left(self._ids, ids.start)

    def is_below(self, trade_id: int, floor_us: int) -> bool:
        """Whether there was such a trade before the floor."""
        trade = self.by_id.get(trade_id)
        return trade is not None and trade.time_us < floor_us

    def last_id_until(self, time_us: int) -> int | None:
        """The highest id of the trades up to a time, inclusive."""
        index = bisect.bisect_right(self._times, time_us)
        return self._highest_ids[index - 1] if index else None


def truths(logs: dict[str, list[Trade]]) -> dict[str, Truth]:
    """By symbol, from logs in the order of play. Where the ids began anew, what came then is SYMBOL#1, SYMBOL#2 and so on."""
    found = {}
    for symbol, log in logs.items():
        parts = _numberings(log)
        for number, part in enumerate(parts):
            ends_us = parts[number + 1][0].time_us if number + 1 < len(parts) else None
            found[series_name(symbol, number)] = Truth(part, ends_us)
    return found


def series_name(symbol: str, series: int) -> str:
    """How the judge calls a series of a symbol."""
    return f"{symbol}#{series}" if series else symbol


def newest_series(symbol: str, names: Iterable[str]) -> str | None:
    """The one of `names` that is the symbol's series of now."""
    series = (name.partition("#") for name in names)
    numbers = [int(number or 0) for own, _, number in series if own == symbol]
    return series_name(symbol, max(numbers)) if numbers else None


def _numberings(log: list[Trade]) -> list[list[Trade]]:
    """The trades of each numbering: an id that is not above the one before begins the next."""
    parts: list[list[Trade]] = [[]]
    for trade in log:
        if parts[-1] and trade.trade_id <= parts[-1][-1].trade_id:
            parts.append([])
        parts[-1].append(trade)
    return parts
