"""What is true of a market, from the log of its trades alone."""

import bisect
import itertools

from .candles import Candle, candles, empty_candle, whole_windows
from .trades import Trade


class Truth:
    """The log of one symbol, ascending by id, and what follows from it."""

    def __init__(self, log: list[Trade]) -> None:
        self.log = log
        self.by_id = {trade.trade_id: trade for trade in log}
        self._by_time = sorted(log, key=lambda trade: (trade.time_us, trade.trade_id))
        self._times = [trade.time_us for trade in self._by_time]
        self._highest_ids = list(itertools.accumulate((trade.trade_id for trade in self._by_time), max))
        self._candles: dict[int, dict[int, Candle]] = {}

    def candle(self, interval_us: int, open_us: int) -> Candle | None:
        """The candle of a window, made of the last price where it has no trade; None before the first trade."""
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

    def last_id_until(self, time_us: int) -> int | None:
        """The highest id of the trades up to a time, inclusive."""
        index = bisect.bisect_right(self._times, time_us)
        return self._highest_ids[index - 1] if index else None


def truths(logs: dict[str, list[Trade]]) -> dict[str, Truth]:
    return {symbol: Truth(log) for symbol, log in logs.items()}
