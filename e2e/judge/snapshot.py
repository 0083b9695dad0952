"""What a pipeline holds and claims at one moment, whichever the database: rows by the name of what was asked for.

Every value is text as the database prints it, or None. Times are microseconds since 1970, truth is 1 or 0.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from .candles import Candle
from .trades import Trade

Row = dict[str, str | None]
Snapshot = dict[str, list[Row]]

# What there is to ask for.
TRADES, WHALE_ORDERS, CANDLES, CLAIMED_CANDLES, EMPTY, FOLDS, RANGES, HEADS, PROBES, STARTS, HOLES, FLOORS, OFFSETS, COUNTED, COUNTS = (
    "trades", "whale orders", "candles", "claimed candles", "empty windows", "folds", "ranges", "heads", "probes", "wished starts", "holes", "floors", "offsets",
    "trades counted", "trade counts",
)
EVERYTHING = (TRADES, WHALE_ORDERS, CANDLES, EMPTY, FOLDS, RANGES, HEADS, PROBES, STARTS, HOLES, FLOORS, OFFSETS, COUNTED)
# Of prices that are sampled.
SAMPLES, SAMPLE_CANDLES, LATEST = "samples", "sample candles", "latest prices"
OF_PRICES = (SAMPLES, SAMPLE_CANDLES, LATEST, OFFSETS)
CLAIMS = (CLAIMED_CANDLES, EMPTY, RANGES, HEADS, PROBES, STARTS, HOLES, FLOORS, COUNTS)
# Where nothing is ever dropped.
NO_FLOOR_US = -(2**63)


class Database(Protocol):
    """A pipeline's tables."""

    def snapshot(self, *names: str) -> Snapshot:
        """The rows of each of `names`, all of them at one moment."""


class Unreachable(Exception):
    """The database does not answer; what it holds is not known."""


@dataclass
class StoredTrade:
    """A row of the trades, with the version of the flush that wrote it, and what is said of the trade."""

    trade: Trade
    version: int
    moving_average: Decimal | None
    is_whale: bool


@dataclass
class StoredCandle:
    """A row of the candles, and what it claims."""

    symbol: str
    interval_us: int
    open_us: int
    candle: Candle
    version: int | None
    complete: bool

    def __str__(self) -> str:
        return f"{self.symbol} candle of {self.interval_us // 1_000_000} s at {self.open_us} us"


@dataclass(frozen=True)
class Range:
    """A run of ids that the ledger accounts for."""

    first_id: int
    last_id: int
    kind: str
    first_us: int
    last_us: int

    def ids(self) -> range:
        return range(self.first_id, self.last_id + 1)


def stored_trades(rows: list[Row]) -> dict[str, list[StoredTrade]]:
    """All rows by symbol, repeats included."""
    found: dict[str, list[StoredTrade]] = {}
    for row in rows:
        trade = Trade(int(row["trade_id"]), Decimal(row["price"]), Decimal(row["quantity"]), int(row["time_us"]), row["buyer_is_maker"] == "1")
        average = None if row["moving_average"] is None else Decimal(row["moving_average"])
        found.setdefault(row["symbol"], []).append(StoredTrade(trade, int(row["version"]), average, row["is_whale"] == "1"))
    return found


def stored_candle(row: Row) -> StoredCandle:
    candle = Candle(**{name: _value(row[name], name) for name in Candle.__dataclass_fields__})
    version = int(row["version"]) if row.get("version") else None
    return StoredCandle(row["symbol"], int(row["interval_s"]) * 1_000_000, int(row["open_us"]), candle, version, row["complete"] == "1")


def ranges_of(rows: list[Row]) -> dict[str, list[Range]]:
    """The ledger by symbol, ascending."""
    found: dict[str, list[Range]] = {}
    for row in sorted(rows, key=lambda row: int(row["first_id"])):
        made = Range(int(row["first_id"]), int(row["last_id"]), row["kind"], int(row["first_us"]), int(row["last_us"]))
        found.setdefault(row["symbol"], []).append(made)
    return found


def floor_us(rows: list[Row], output: str) -> int:
    """What lies before it may have been dropped from `output`, or never been written to it."""
    return max((int(row["floor_us"]) for row in rows if row["output"] == output), default=NO_FLOOR_US)


def held_ids(ranges: list[Range]) -> set[int]:
    return {trade_id for held in ranges if held.kind == "held" for trade_id in held.ids()}


def _value(text: str | None, name: str) -> Decimal | int | None:
    if name.endswith("_id"):
        return int(text) if text else None
    return int(text) if name == "trade_count" else Decimal(text)
