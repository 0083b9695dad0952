"""What is said of single trades and of all of them together: moving averages, whales, totals. Computed anew from the rows of
the trades, which are judged by themselves, and from the log."""

import json
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Iterable

from .snapshot import Range, Row, StoredTrade
from .trades import EIGHT_DECIMALS, Trade
from .truth import Truth
from .verdict import Verdict

# More digits than any sum has.
EXACT_DIGITS = 80
MILLISECOND_US = 1_000


@dataclass(frozen=True)
class Indicators:
    """What a pipeline is asked to say."""

    moving_average: int | None = None
    whale_value: str | None = None
    whale_values: dict[str, str] = field(default_factory=dict)

    def spec(self) -> dict:
        """What a resource asks for, as a part of its `aggregation`."""
        asked: dict = {}
        if self.moving_average is not None:
            asked["movingAverage"] = {"trades": self.moving_average}
        if self.whale_value is not None or self.whale_values:
            of_assets = [{"asset": asset, "minValue": value} for asset, value in sorted(self.whale_values.items())]
            asked["whaleTrade"] = ({"minValue": self.whale_value} if self.whale_value is not None else {}) | {"quoteAssets": of_assets}
        return asked

    def manifest_lines(self) -> str:
        """The same as lines of a manifest, below its `aggregation`."""
        return "".join(f"    {name}: {json.dumps(asked)}\n" for name, asked in self.spec().items())

    def whale_value_of(self, symbol: str) -> Decimal | None:
        """By the longest quote asset that the symbol ends with; of a series, by its symbol."""
        name = symbol.partition("#")[0]
        assets = sorted((asset for asset in self.whale_values if name.endswith(asset)), key=len)
        value = self.whale_values[assets[-1]] if assets else self.whale_value
        return None if value is None else Decimal(value)


NOTHING_SAID = Indicators()


def judge_said_of_trades(verdict: Verdict, symbol: str, rows: list[StoredTrade], asked: Indicators, has_floor: bool) -> None:
    """Every row has the mean of the prices of itself and of those before it by id, and is a whale's where it is worth it.
    Where rows may have been dropped, nobody can tell what came before the first of them."""
    rows, count, least = sorted(rows, key=lambda row: row.trade.trade_id), asked.moving_average, asked.whale_value_of(symbol)
    for index, row in enumerate(rows):
        trade_id, value = row.trade.trade_id, _value(row.trade)
        if row.is_whale != (least is not None and value >= least):
            verdict.wrong(f"{symbol}: trade {trade_id} of {value} is {'' if row.is_whale else 'not '}said to be a whale's")
        if count is not None and has_floor and index + 1 < count:
            continue
        expected = None if count is None or index + 1 < count else _mean([before.trade.price for before in rows[index + 1 - count : index + 1]])
        if row.moving_average != expected:
            verdict.wrong(f"{symbol}: trade {trade_id} has the moving average {row.moving_average}, not {expected}")


def judge_whale_orders(verdict: Verdict, symbol: str, orders: list[Row], rows: list[StoredTrade], ranges: list[Range], asked: Indicators, may_be_old: bool) -> None:
    """The orders are the runs of rows with consecutive ids, one millisecond and one side that are worth it. Where rows may have
    been dropped, there may be orders of them."""
    least = asked.whale_value_of(symbol)
    known = {trade_id for found in ranges if found.kind in ("held", "void") for trade_id in found.ids()}
    expected = {}
    for fills in _runs(sorted((row.trade for row in rows), key=lambda trade: trade.trade_id)):
        value = _sum(_value(fill) for fill in fills)
        if least is not None and value >= least:
            first, last = fills[0].trade_id, fills[-1].trade_id
            is_final = first - 1 in known and last + 1 in known
            expected[first] = (last, len(fills), fills[0].time_us, fills[0].buyer_is_maker, _sum(fill.quantity for fill in fills), value, is_final)
    found = {int(row["first_trade_id"]): _order(row) for row in orders}
    oldest = min((row.trade.trade_id for row in rows), default=0)
    for first in sorted(found.keys() | expected.keys()):
        if found.get(first) != expected.get(first) and not (may_be_old and first <= oldest):
            verdict.wrong(f"{symbol}: the whale's order from trade {first} on is {found.get(first)}, not {expected.get(first)}")


def judge_totals(verdict: Verdict, head: Row, held: set[int], truth: Truth) -> None:
    """All trades held are in the totals."""
    trades = [truth.by_id[trade_id] for trade_id in held if trade_id in truth.by_id]
    volume, quote_volume = _sum(trade.quantity for trade in trades), _sum(_value(trade) for trade in trades)
    said = int(head["total_trades"]), Decimal(head["total_volume"]), Decimal(head["total_quote_volume"])
    if said != (len(held), volume, quote_volume):
        verdict.wrong(f"{head['symbol']}: the totals are {said}, not {(len(held), volume, quote_volume)}")


def _value(trade: Trade) -> Decimal:
    with localcontext(prec=EXACT_DIGITS):
        return trade.price * trade.quantity


def _sum(numbers: Iterable[Decimal]) -> Decimal:
    with localcontext(prec=EXACT_DIGITS):
        return sum(numbers, Decimal(0))


def _mean(prices: list[Decimal]) -> Decimal:
    with localcontext(prec=EXACT_DIGITS):
        return (sum(prices) / len(prices)).quantize(EIGHT_DECIMALS, rounding=ROUND_HALF_EVEN)


def _runs(trades: list[Trade]) -> list[list[Trade]]:
    runs: list[list[Trade]] = []
    for trade in trades:
        before = runs[-1][-1] if runs else None
        goes_on = (
            before is not None
            and before.trade_id + 1 == trade.trade_id
            and before.buyer_is_maker == trade.buyer_is_maker
            and before.time_us // MILLISECOND_US == trade.time_us // MILLISECOND_US
        )
        if goes_on:
            runs[-1].append(trade)
        else:
            runs.append([trade])
    return runs


def _order(row: Row) -> tuple:
    return (
        int(row["last_trade_id"]),
        int(row["trade_count"]),
        int(row["time_us"]),
        row["buyer_is_maker"] == "1",
        Decimal(row["quantity"]),
        Decimal(row["quote_quantity"]),
        row["final"] == "1",
    )
