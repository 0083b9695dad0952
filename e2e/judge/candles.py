"""Candles from a trade log, by grouping and summing, and the windows that must be complete."""

from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Iterable

from .trades import Trade

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def interval_us(name: str) -> int:
    """The length of an interval such as 5m in microseconds."""
    return int(name[:-1]) * UNITS[name[-1]] * 1_000_000


@dataclass
class Candle:
    """What the exchange's own candle of a window says; ids are None in a window without trades."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal
    trade_count: int
    taker_buy_volume: Decimal
    taker_buy_quote_volume: Decimal
    first_trade_id: int | None
    last_trade_id: int | None


def candles(trades: list[Trade], length_us: int) -> dict[int, Candle]:
    """Every window from the first trade to the last by its open time, also those without trades."""
    groups: dict[int, list[Trade]] = {}
    for trade in trades:
        groups.setdefault(trade.time_us - trade.time_us % length_us, []).append(trade)
    made: dict[int, Candle] = {}
    close = None
    if groups:
        for open_us in range(min(groups), max(groups) + 1, length_us):
            made[open_us] = _candle(groups[open_us]) if open_us in groups else empty_candle(close)
            close = made[open_us].close
    return made


def whole_windows(trades: list[Trade], length_us: int) -> list[int]:
    """Windows that a log proves: it begins before they open and goes on at or after their close."""
    if not trades:
        return []
    first_us, last_us = trades[0].time_us, trades[-1].time_us
    first_open_us = first_us - first_us % length_us + length_us
    return list(range(first_open_us, last_us - length_us + 1, length_us))


def _candle(group: Iterable[Trade]) -> Candle:
    ordered = sorted(group)
    buys = [trade for trade in ordered if not trade.buyer_is_maker]
    with localcontext() as context:
        context.prec = 60
        return Candle(
            open=ordered[0].price,
            high=max(trade.price for trade in ordered),
            low=min(trade.price for trade in ordered),
            close=ordered[-1].price,
            volume=sum((trade.quantity for trade in ordered), Decimal(0)),
            quote_volume=sum((trade.price * trade.quantity for trade in ordered), Decimal(0)),
            trade_count=len(ordered),
            taker_buy_volume=sum((trade.quantity for trade in buys), Decimal(0)),
            taker_buy_quote_volume=sum((trade.price * trade.quantity for trade in buys), Decimal(0)),
            first_trade_id=ordered[0].trade_id,
            last_trade_id=ordered[-1].trade_id,
        )


def empty_candle(close: Decimal) -> Candle:
    """The candle of a window without trades."""
    zero = Decimal(0)
    return Candle(close, close, close, close, zero, zero, 0, zero, zero, None, None)
