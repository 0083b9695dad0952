"""Reads trade logs in the format of the exchange's daily dumps, with exact decimals."""

import csv
import gzip
import io
import re
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Iterator, NamedTuple

EIGHT_DECIMALS = Decimal("0.00000001")
# The first instant written with 16 digits (microseconds) instead of 13 (milliseconds).
FIRST_MICROSECOND_VALUE = 10**14


class Trade(NamedTuple):
    """One trade; the time is in microseconds since 1970, UTC."""

    trade_id: int
    price: Decimal
    quantity: Decimal
    time_us: int
    buyer_is_maker: bool


def symbol_of(path: Path) -> str:
    """The symbol in names like BTCUSDT-trades-2026-01-01.csv.gz, also behind a prefix."""
    match = re.search(r"([^-]+)-(trades|aggTrades)-", path.name)
    if match is None:
        raise ValueError(f"{path}: the name has no SYMBOL-trades- or SYMBOL-aggTrades- in it")
    return match.group(1)


def read_trades(path: Path) -> list[Trade]:
    """All trades of one file, in its order. Aggregate trades are split as the simulator plays them."""
    aggregate = "-aggTrades-" in path.name
    trades: list[Trade] = []
    with _open_text(path) as text:
        for row in csv.reader(text):
            if not row or not row[0].isdigit():
                continue
            trades.extend(_split_aggregate(row) if aggregate else [_trade(row)])
    return trades


def _open_text(path: Path) -> io.TextIOBase:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    if path.suffix == ".zip":
        archive = zipfile.ZipFile(path)
        return io.TextIOWrapper(archive.open(archive.namelist()[0]), encoding="utf-8", newline="")
    return path.open("r", encoding="utf-8", newline="")


def _trade(row: list[str]) -> Trade:
    return Trade(int(row[0]), Decimal(row[1]), Decimal(row[2]), _time_us(row[4]), _is_true(row[5]))


def _split_aggregate(row: list[str]) -> Iterator[Trade]:
    """Equal parts at 8 decimals; the last trade takes the rest."""
    price, quantity, first_id, last_id = Decimal(row[1]), Decimal(row[2]), int(row[3]), int(row[4])
    count = last_id - first_id + 1
    part = (quantity / count).quantize(EIGHT_DECIMALS, rounding="ROUND_DOWN")
    for trade_id in range(first_id, last_id + 1):
        own = part if trade_id < last_id else quantity - part * (count - 1)
        yield Trade(trade_id, price, own, _time_us(row[5]), _is_true(row[6]))


def _time_us(text: str) -> int:
    value = int(text)
    return value if value >= FIRST_MICROSECOND_VALUE else value * 1000


def _is_true(text: str) -> bool:
    if text.lower() in ("true", "1"):
        return True
    if text.lower() in ("false", "0"):
        return False
    raise ValueError(f"{text!r} is neither true nor false")
