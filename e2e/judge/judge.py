"""The judgement of a pipeline: of everything that it holds, and of what it claims at a moment."""

from . import snapshot as of
from .indicators import NOTHING_SAID, Indicators, judge_said_of_trades, judge_totals, judge_whale_orders
from .ledger import judge_head, judge_holes, judge_probe, judge_ranges
from .rows import judge_counters, judge_trades, judge_versions
from .snapshot import NO_FLOOR_US, Row, Snapshot, floor_us, held_ids, ranges_of, stored_candle, stored_trades
from .truth import Truth
from .verdict import Verdict
from .windows import claims, judge_complete_candles, judge_empty_windows, judge_held_candles, judge_provable_windows


def judge_everything(snapshot: Snapshot, truths: dict[str, Truth], may_miss: bool, stores_trades: bool = True, said: Indicators = NOTHING_SAID) -> Verdict:
    """Every trade of the logs exactly once with every field, or said to be missing; every claim of a candle true. With
    `may_miss` false nothing may be missing at all, and what can be proven must be claimed."""
    verdict = Verdict()
    ranges, trades = ranges_of(snapshot[of.RANGES]), stored_trades(snapshot[of.TRADES])
    candles = [stored_candle(row) for row in snapshot[of.CANDLES]]
    heads = {row["symbol"]: row for row in snapshot[of.HEADS]}
    trades_floor_us, candles_floor_us = (floor_us(snapshot[of.FLOORS], output) for output in ("trades", "candles"))
    _judge_ledgers(verdict, snapshot, truths)
    for symbol, truth in sorted(truths.items()):
        if symbol not in heads:
            if truth.log:
                verdict.wrong(f"{symbol}: nothing is known of it")
            continue
        held = held_ids(ranges.get(symbol, []))
        if stores_trades:
            judge_trades(verdict, symbol, trades.get(symbol, []), held, truth, trades_floor_us)
            may_lack_rows = trades_floor_us != NO_FLOOR_US
            judge_said_of_trades(verdict, symbol, trades.get(symbol, []), said, may_lack_rows)
            judge_whale_orders(verdict, symbol, _of(symbol, snapshot[of.WHALE_ORDERS]), trades.get(symbol, []), ranges.get(symbol, []), said, may_lack_rows)
        judge_totals(verdict, heads[symbol], held, truth)
        of_symbol = [stored for stored in candles if stored.symbol == symbol]
        known_since_us = _known_since(symbol, snapshot[of.FOLDS], candles_floor_us)
        if held and not known_since_us:
            verdict.wrong(f"{symbol}: no candles are made of it")
        # What an interval holds that is made no more, nobody has brought up to date.
        judge_versions(verdict, heads[symbol], trades.get(symbol, []), [stored for stored in of_symbol if stored.interval_us in known_since_us])
        held_log = Truth([trade for trade in truth.log if trade.trade_id in held])
        judge_held_candles(verdict, symbol, of_symbol, held_log, known_since_us)
        missing = set(truth.by_id) - held
        if missing and not may_miss:
            verdict.wrong(f"{symbol}: {len(missing)} trades are missing, e.g. {min(missing)}")
    counted = int(snapshot[of.COUNTED][0]["trades"])
    judge_counters(verdict, snapshot[of.OFFSETS], counted, sum(len(held_ids(found)) for found in ranges.values()))
    judge_complete_candles(verdict, candles, truths)
    judge_empty_windows(verdict, snapshot[of.EMPTY], truths)
    if not may_miss:
        always_made = [fold for fold in snapshot[of.FOLDS] if fold["incomplete_until_us"] is None]
        intervals_us = {int(fold["interval_s"]) * 1_000_000 for fold in always_made}
        judge_provable_windows(verdict, claims(candles, snapshot[of.EMPTY]), truths, intervals_us, candles_floor_us)
    return verdict


def judge_claims(snapshot: Snapshot, truths: dict[str, Truth], stores_trades: bool = True) -> Verdict:
    """What is claimed at a moment while trades flow."""
    verdict = Verdict()
    _judge_ledgers(verdict, snapshot, truths)
    held = {row["symbol"]: int(row["trades_held"]) for row in snapshot[of.HEADS]}
    below = _held_below_the_floor(snapshot, truths)
    for row in snapshot[of.COUNTS]:
        symbol, rows = row["symbol"], int(row["rows"])
        if stores_trades and not held[symbol] - below.get(symbol, 0) <= rows <= held[symbol]:
            verdict.wrong(f"{symbol}: {held[symbol]} trades are said to be held, {below.get(symbol, 0)} of them below the floor, {rows} have rows")
    judge_complete_candles(verdict, map(stored_candle, snapshot[of.CLAIMED_CANDLES]), truths)
    judge_empty_windows(verdict, snapshot[of.EMPTY], truths)
    return verdict


def _judge_ledgers(verdict: Verdict, snapshot: Snapshot, truths: dict[str, Truth]) -> None:
    ranges = ranges_of(snapshot[of.RANGES])
    probes, starts = ({row["symbol"]: row for row in snapshot[name]} for name in (of.PROBES, of.STARTS))
    for head in snapshot[of.HEADS]:
        symbol = head["symbol"]
        truth = truths.get(symbol)
        if truth is None:
            verdict.wrong(f"{symbol}: rows of a symbol that was never played")
            continue
        found, probe = ranges.get(symbol, []), probes.get(symbol)
        judge_ranges(verdict, symbol, found, truth)
        judge_head(verdict, head, found, truth)
        judge_holes(verdict, symbol, found, probe, starts.get(symbol), _of(symbol, snapshot[of.HOLES]))
        if probe is not None:
            judge_probe(verdict, probe, truth)


def _held_below_the_floor(snapshot: Snapshot, truths: dict[str, Truth]) -> dict[str, int]:
    """How many of the trades held need not have a row, by symbol."""
    floor = floor_us(snapshot[of.FLOORS], "trades")
    if floor == NO_FLOOR_US:
        return {}
    ranges = ranges_of(snapshot[of.RANGES])
    return {symbol: sum(truths[symbol].is_below(trade_id, floor) for trade_id in held_ids(found)) for symbol, found in ranges.items() if symbol in truths}


def _known_since(symbol: str, folds: list[Row], floor: int) -> dict[int, int]:
    """By interval, since when the candles have received every trade."""
    return {int(fold["interval_s"]) * 1_000_000: max(int(fold["incomplete_until_us"] or NO_FLOOR_US), floor - 1) for fold in _of(symbol, folds)}


def _of(symbol: str, rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["symbol"] == symbol]
