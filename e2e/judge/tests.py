"""The judge's own tests: it must find what is wrong, not only pass what is right."""

import copy
import subprocess
import tempfile
import unittest
from decimal import Decimal
from pathlib import Path

from demo import read_logs

from . import snapshot as of
from .candles import candles, whole_windows
from .indicators import Indicators
from .judge import judge_claims, judge_everything
from .ledger import missing_ids
from .postgres import Postgres
from .rows import judge_offsets
from .samples import OfPoll, judge_samples, of_stream
from .snapshot import Range, Snapshot, Unreachable
from .trades import Trade
from .truth import Truth, newest_series, truths
from .verdict import Verdict
from .windows import judge_printed, judge_provable_windows

MINUTE_US = 60_000_000
COLUMNS = list(vars(next(iter(candles([Trade(1, Decimal(1), Decimal(1), 0, True)], MINUTE_US).values()))))


def trade(trade_id: int, second: int, price: str = "100") -> Trade:
    return Trade(trade_id, Decimal(price), Decimal("0.5"), second * 1_000_000, trade_id % 2 == 0)


# One in minute 0, two in minute 1, none in 2 and 3, one in 4.
LOG = {"BTCUSDT": [trade(1, 30), trade(2, 70, "101"), trade(3, 80, "99"), trade(4, 250)]}
TRUTHS = truths(LOG)
# One in each of the minutes 6, 7 and 8.
ANEW = [trade(1, 400), trade(2, 430, "98"), trade(3, 500)]


def other(value: str) -> str:
    """Another value of the same kind: a truth, an integer, or a decimal."""
    if value in ("0", "1"):
        return str(1 - int(value))
    return str(int(value) + 1) if value.isdigit() else str(Decimal(value) + Decimal("0.00000001"))


def candle_rows(symbol: str = "BTCUSDT", log: list[Trade] = LOG["BTCUSDT"], complete_us: int = MINUTE_US) -> list[dict[str, str | None]]:
    made = []
    for open_us, candle in candles(log, MINUTE_US).items():
        row = {name: None if value is None else str(value) for name, value in vars(candle).items()}
        row.update(symbol=symbol, interval_s="60", open_us=str(open_us), complete=str(int(open_us == complete_us)), version="1")
        made.append(row)
    return made


def everything() -> Snapshot:
    """What a sound database holds of the log."""
    empty = [{"symbol": "BTCUSDT", "interval_s": "60", "open_us": str(minute * MINUTE_US), "close": "99"} for minute in (2, 3)]
    return held("BTCUSDT", LOG["BTCUSDT"], MINUTE_US) | {of.EMPTY: empty}


def two_series() -> Snapshot:
    """What a sound database holds where the ids began anew."""
    before, after = everything(), held("BTCUSDT#1", ANEW, 7 * MINUTE_US)
    offsets = [before[of.OFFSETS][0] | {"next_offset": "9", "records_read": "9", "trades_new": "7"}]
    return {name: before[name] + after[name] for name in before} | {of.OFFSETS: offsets, of.COUNTED: [{"trades": "7"}]}


def held(symbol: str, log: list[Trade], complete_us: int) -> Snapshot:
    """What a sound database holds of one log, with one complete candle."""
    first, last, count = log[0], log[-1], str(len(log))
    rows = candle_rows(symbol, log, complete_us)
    return {
        of.TRADES: [
            {"symbol": symbol, "trade_id": str(one.trade_id), "price": str(one.price), "quantity": str(one.quantity), "time_us": str(one.time_us), "buyer_is_maker": str(int(one.buyer_is_maker)), "version": "1", "moving_average": None, "is_whale": "0"}
            for one in log
        ],
        of.WHALE_ORDERS: [],
        of.CANDLES: [row for row in rows if row["trade_count"] != "0"],
        of.CLAIMED_CANDLES: [row for row in rows if row["complete"] == "1"],
        of.EMPTY: [],
        of.FOLDS: [{"symbol": symbol, "interval_s": "60", "incomplete_until_us": None}],
        of.RANGES: [{"symbol": symbol, "first_id": "1", "last_id": count, "kind": "held", "first_us": str(first.time_us), "last_us": str(last.time_us)}],
        of.HEADS: [{"symbol": symbol, "version": "1", "trades_held": count, "last_trade_id": count, "last_us": str(last.time_us), "last_price": str(last.price), "max_inversion_us": "0",
                    "total_trades": count, "total_volume": str(sum(one.quantity for one in log)), "total_quote_volume": str(sum(one.price * one.quantity for one in log))}],
        of.PROBES: [{"symbol": symbol, "wished_after": "0", "last_id": count, "probe_us": str(last.time_us + 10_000_000), "settled_us": str(last.time_us + 5_000_000)}],
        of.STARTS: [],
        of.HOLES: [],
        of.FLOORS: [],
        of.OFFSETS: [{"topic": "t", "partition": "0", "topic_id": "x", "next_offset": "6", "records_read": "6", "trades_new": "4", "trades_duplicate": "2", "samples_new": "0", "samples_duplicate": "0", "records_set_aside": "0", "offsets_skipped": "0"}],
        of.COUNTED: [{"trades": count}],
        of.COUNTS: [{"symbol": symbol, "rows": count}],
    }


class IndicatorsTest(unittest.TestCase):
    """Six trades: 1 and 2 apart, 3 to 5 of one order, 6 behind it."""

    ASKED = Indicators(moving_average=3, whale_values={"USDT": "150"})
    LOG = [trade(1, 30), trade(2, 70, "400"), *(Trade(trade_id, Decimal("100.00000001"), Decimal("0.5"), 80_000_000 + trade_id, True) for trade_id in (3, 4, 5)), trade(6, 90)]

    def sound(self) -> Snapshot:
        made = held("BTCUSDT", self.LOG, MINUTE_US)
        # (100 + 400 + 100.00000001) / 3 = 200.000000003..; (400 + 2 * 100.00000001) / 3; (100.00000001 * 2 + 100) / 3 = 100.00000000666..
        for row, average in zip(made[of.TRADES], (None, None, "200.00000000", "200.00000001", "100.00000001", "100.00000001")):
            row["moving_average"] = average
        made[of.TRADES][1]["is_whale"] = "1"
        order = {"symbol": "BTCUSDT", "final": "1"}
        made[of.WHALE_ORDERS] = [
            order | {"first_trade_id": "2", "last_trade_id": "2", "trade_count": "1", "time_us": "70000000", "buyer_is_maker": "1", "quantity": "0.5", "quote_quantity": "200"},
            order | {"first_trade_id": "3", "last_trade_id": "5", "trade_count": "3", "time_us": "80000003", "buyer_is_maker": "1", "quantity": "1.5", "quote_quantity": "150.000000015"},
        ]
        return made

    def problems(self, change=lambda snapshot: None) -> list[str]:
        snapshot = self.sound()
        change(snapshot)
        # Of candles nothing is claimed here.
        found = judge_everything(snapshot, truths({"BTCUSDT": self.LOG}), may_miss=True, said=self.ASKED).problems
        return [problem for problem in found if "candle" not in problem and "window" not in problem]

    def test_what_is_right_passes(self):
        self.assertEqual(self.problems(), [])

    def test_every_altered_value_is_found(self):
        columns = {of.TRADES: "moving_average is_whale", of.WHALE_ORDERS: "first_trade_id last_trade_id trade_count time_us buyer_is_maker quantity quote_quantity final"}
        for table, column in ((table, column) for table in columns for column in columns[table].split()):
            for index in (-1, -2):
                def alter(snapshot, table=table, column=column, index=index):
                    snapshot[table][index][column] = other(snapshot[table][index][column])
                self.assertTrue(self.problems(alter), f"{table}.{column}")

    def test_what_is_gone_or_said_where_nothing_is_asked_is_found(self):
        for index in (0, 1):
            self.assertTrue(self.problems(lambda snapshot: snapshot[of.WHALE_ORDERS].pop(index)))
        self.assertTrue(self.problems(lambda snapshot: snapshot[of.TRADES][3].update(moving_average=None)))
        self.assertGreater(len(judge_everything(self.sound(), truths({"BTCUSDT": self.LOG}), may_miss=True).problems), 6)

    def test_the_longest_quote_asset_counts(self):
        asked = Indicators(whale_value="7", whale_values={"USD": "1", "TUSD": "2"})
        self.assertEqual([asked.whale_value_of(symbol) for symbol in ("BTCUSD", "BTCTUSD#1", "ETHBTC")], [1, 2, 7])
        self.assertIsNone(Indicators(whale_values={"BTC": "1"}).whale_value_of("BTCUSDT"))


class EverythingTest(unittest.TestCase):
    def problems(self, change) -> list[str]:
        changed = copy.deepcopy(everything())
        change(changed)
        return judge_everything(changed, TRUTHS, may_miss=False).problems

    def test_what_is_right_passes(self):
        verdict = judge_everything(everything(), TRUTHS, may_miss=False)
        self.assertEqual((verdict.problems, verdict.complete, verdict.equal, verdict.trades), ([], 1, 1, 4))
        self.assertEqual(judge_claims(everything(), TRUTHS).problems, [])

    def test_every_altered_number_is_found(self):
        rows = {of.TRADES: "trade_id price quantity time_us", of.CANDLES: " ".join(COLUMNS), of.RANGES: "first_id last_id first_us last_us",
                of.HEADS: "trades_held last_trade_id last_us last_price total_trades total_volume total_quote_volume", of.OFFSETS: "records_read trades_new trades_duplicate samples_new samples_duplicate records_set_aside", of.COUNTED: "trades"}
        for table, columns in rows.items():
            for column in columns.split():
                def raise_it(changed, table=table, column=column):
                    row = changed[table][-1] if table == of.TRADES else changed[table][len(changed[table]) // 2]
                    row[column] = str(Decimal(row[column]) + 1)
                self.assertTrue(self.problems(raise_it), f"{table}.{column}")

    def test_a_row_that_is_gone_or_there_twice_is_found(self):
        for table in (of.TRADES, of.CANDLES, of.EMPTY, of.RANGES, of.HEADS):
            self.assertTrue(self.problems(lambda changed: changed[table].pop()), f"a row of {table} is gone")
        self.assertTrue(self.problems(lambda changed: changed[of.TRADES].append(changed[of.TRADES][0])))

    def test_the_other_side_and_a_version_that_never_was_are_found(self):
        def turn(changed):
            changed[of.TRADES][0]["buyer_is_maker"] = "1"
        self.assertTrue(self.problems(turn))
        for table in (of.TRADES, of.CANDLES):
            for version in ("0", "2"):
                def set_version(changed):
                    changed[table][0]["version"] = version
                self.assertTrue(self.problems(set_version), f"{table} {version}")

    def test_a_void_over_a_real_trade_is_found_and_over_none_is_not(self):
        def void_real(changed):
            changed[of.RANGES][0]["last_id"], changed[of.RANGES][0]["last_us"] = "3", "80000000"
            changed[of.RANGES].append({"symbol": "BTCUSDT", "first_id": "4", "last_id": "4", "kind": "void", "first_us": "80000000", "last_us": "80000000"})
        self.assertTrue(any("the exchange has such trades" in problem for problem in self.problems(void_real)))

    def test_holes_are_exactly_what_is_missing(self):
        def one_held_less(changed):
            changed[of.RANGES] = [changed[of.RANGES][0] | {"last_id": "2", "last_us": "70000000"}]
        verdict = judge_everything(_changed(one_held_less), TRUTHS, may_miss=True)
        self.assertTrue(any("wrongly" in problem for problem in verdict.problems))


class ClaimsTest(unittest.TestCase):
    def test_a_claim_about_an_edge_is_false(self):
        claimed = everything()
        claimed[of.CLAIMED_CANDLES] = [row | {"complete": "1", "volume": "2"} for row in candle_rows()[:1]]
        self.assertTrue(judge_claims(claimed, TRUTHS).problems)

    def test_a_window_with_trades_is_not_empty(self):
        for open_us, close in ((MINUTE_US, "100"), (-MINUTE_US, "100"), (2 * MINUTE_US, "100")):
            claimed = everything()
            claimed[of.EMPTY] = [{"symbol": "BTCUSDT", "interval_s": "60", "open_us": str(open_us), "close": close}]
            self.assertTrue(judge_claims(claimed, TRUTHS).problems, open_us)

    def test_a_quiet_market_behind_the_last_trade_may_be_claimed_empty(self):
        claimed = everything()
        claimed[of.EMPTY] = [{"symbol": "BTCUSDT", "interval_s": "60", "open_us": str(9 * MINUTE_US), "close": "100"}]
        self.assertEqual(judge_claims(claimed, TRUTHS).problems, [])

    def test_a_probe_that_is_settled_too_soon_is_found(self):
        claimed = everything()
        claimed[of.PROBES][0].update(last_id="3", settled_us="250000000")
        self.assertTrue(any("is the last trade" in problem for problem in judge_claims(claimed, TRUTHS).problems))

    def test_rows_that_the_ledger_does_not_count_are_found(self):
        claimed = everything()
        claimed[of.COUNTS][0]["rows"] = "5"
        self.assertTrue(judge_claims(claimed, TRUTHS).problems)


class IntervalTest(unittest.TestCase):
    """An interval that was made for a while: its candles stay, claim nothing and are not brought up to date."""

    def snapshot(self, version: str, complete: str) -> Snapshot:
        changed = everything()
        for row in changed[of.TRADES]:
            row["version"] = changed[of.HEADS][0]["version"] = "2"
        for row in changed[of.CANDLES]:
            row["version"] = "2"
        part = next(row for row in changed[of.CANDLES] if row["open_us"] == str(MINUTE_US))
        half = part | {"interval_s": "30", "open_us": "60000000", "version": version, "complete": complete, "trade_count": "2"}
        changed[of.CANDLES].append(half)
        return changed

    def test_what_it_held_then_is_right(self):
        self.assertEqual(judge_everything(self.snapshot("1", "0"), TRUTHS, may_miss=False).problems, [])

    def test_some_interval_has_to_be_made(self):
        changed = everything()
        changed[of.FOLDS] = []
        self.assertTrue(judge_everything(changed, TRUTHS, may_miss=False).problems)

    def test_the_intervals_that_are_made_have_the_version_of_their_trades(self):
        changed = self.snapshot("1", "0")
        changed[of.FOLDS].append({"symbol": "BTCUSDT", "interval_s": "30", "incomplete_until_us": None})
        problems = judge_everything(changed, TRUTHS, may_miss=False).problems
        self.assertTrue(any("its version is 1" in problem for problem in problems), problems)
        self.assertTrue(any("it is not complete" in problem for problem in problems), problems)


class SeriesTest(unittest.TestCase):
    TRUTHS = truths({"BTCUSDT": LOG["BTCUSDT"] + ANEW})

    def problems(self, change) -> list[str]:
        changed = two_series()
        change(changed)
        return judge_everything(changed, self.TRUTHS, may_miss=False).problems

    def test_where_the_ids_began_anew_both_series_are_judged(self):
        self.assertEqual({name: truth.log for name, truth in self.TRUTHS.items()}, {"BTCUSDT": LOG["BTCUSDT"], "BTCUSDT#1": ANEW})
        self.assertEqual(self.problems(lambda changed: None) + judge_claims(two_series(), self.TRUTHS).problems, [])
        self.assertEqual(judge_everything(two_series(), self.TRUTHS, may_miss=False).trades, 7)

    def test_a_row_of_one_series_under_the_other_is_found(self):
        for table in (of.TRADES, of.CANDLES, of.RANGES, of.HEADS):
            for row, other in ((-1, "BTCUSDT"), (0, "BTCUSDT#1")):
                def move(changed):
                    changed[table][row]["symbol"] = other
                self.assertTrue(self.problems(move), f"{table} under {other}")

    def test_a_series_that_is_missing_or_never_was_is_found(self):
        self.assertTrue(judge_everything(everything(), self.TRUTHS, may_miss=True).problems)
        self.assertTrue(judge_everything(two_series(), TRUTHS, may_miss=True).problems)

    def test_a_series_claims_nothing_of_the_time_after_it(self):
        for minute, right in ((5, True), (6, False), (9, False)):
            def claim(changed):
                changed[of.EMPTY].append({"symbol": "BTCUSDT", "interval_s": "60", "open_us": str(minute * MINUTE_US), "close": "100"})
            self.assertEqual(not self.problems(claim), right, minute)

    def test_logs_are_read_in_the_order_of_play(self):
        with tempfile.TemporaryDirectory() as folder:
            for day, trades in (("01", LOG["BTCUSDT"][:2]), ("02", LOG["BTCUSDT"][2:] + ANEW)):
                rows = [f"{one.trade_id},{one.price},{one.quantity},0,{one.time_us + 10**15},{not one.trade_id % 2},True\n" for one in trades]
                Path(folder, f"BTCUSDT-trades-2026-01-{day}.csv").write_text("".join(rows), encoding="utf-8")
            read = truths(read_logs(Path(folder)))
        self.assertEqual({name: [one.trade_id for one in truth.log] for name, truth in read.items()}, {"BTCUSDT": [1, 2, 3, 4], "BTCUSDT#1": [1, 2, 3]})

    def test_the_newest_series_is_the_one_with_the_highest_number(self):
        names = ["BTCUSDT#2", "BTCUSDT#10", "BTCUSDT", "ETHUSDT"]
        self.assertEqual([newest_series(symbol, names) for symbol in ("BTCUSDT", "ETHUSDT", "BTC")], ["BTCUSDT#10", "ETHUSDT", None])


class RetentionTest(unittest.TestCase):
    """Everything before minute 4 may have been dropped."""

    def problems(self, change) -> list[str]:
        changed = everything()
        changed[of.FLOORS] = [{"output": output, "floor_us": str(4 * MINUTE_US)} for output in ("trades", "candles")]
        change(changed)
        judged = judge_everything(changed, TRUTHS, may_miss=False).problems
        # Nothing is left that could claim to be complete.
        return judged + judge_claims(changed, TRUTHS).problems

    def test_what_lies_below_the_floor_may_be_there_or_not(self):
        def drop_some(changed):
            del changed[of.TRADES][0], changed[of.CANDLES][0]
            changed[of.COUNTS][0]["rows"] = "3"
        def drop_all(changed):
            del changed[of.TRADES][:3], changed[of.CANDLES][:2]
            changed[of.CLAIMED_CANDLES] = changed[of.EMPTY] = []
            changed[of.COUNTS][0]["rows"] = "1"
        for change in (lambda changed: None, drop_some, drop_all):
            self.assertEqual(self.problems(change), [])

    def test_what_lies_above_it_has_to_be_there(self):
        for table in (of.TRADES, of.CANDLES):
            self.assertTrue(self.problems(lambda changed: changed[table].pop()), table)
        for rows in ("0", "5"):
            def count(changed):
                changed[of.COUNTS][0]["rows"] = rows
            self.assertTrue(self.problems(count), rows)

    def test_what_is_there_below_it_has_to_be_right(self):
        for table, column in ((of.TRADES, "price"), (of.CANDLES, "high"), (of.CLAIMED_CANDLES, "close")):
            def spoil(changed):
                changed[table][0][column] = "1000"
            self.assertTrue(self.problems(spoil), table)

    def test_the_ledger_has_to_hold_what_was_dropped(self):
        def forget(changed):
            changed[of.RANGES][0] |= {"first_id": "2", "first_us": "70000000"}
        self.assertTrue(self.problems(forget))

    def test_windows_above_it_have_to_be_claimed_once_a_price_is_kept(self):
        truth = {"BTCUSDT": Truth(ANEW + [trade(4, 700)])}
        for floor, expected in ((6, [7, 8, 9, 10]), (9, []), (8, [8, 9, 10])):
            verdict = Verdict()
            judge_provable_windows(verdict, set(), truth, [MINUTE_US], floor * MINUTE_US)
            self.assertEqual([int(problem.split()[-6]) // MINUTE_US for problem in verdict.problems], expected, floor)


class WishedTest(unittest.TestCase):
    PROBE = {"wished_after": "9", "last_id": "15"}

    def missing(self, first_id: str | None, probe: dict | None, *held: tuple[int, int]) -> list[int]:
        ranges = [Range(first, last, "held", 0, 0) for first, last in held]
        return sorted(missing_ids(ranges, probe, None if first_id == "none" else {"first_id": first_id}))

    def test_ids_from_the_wished_start_on_are_missing_and_none_before_it(self):
        self.assertEqual(self.missing("none", self.PROBE, (12, 13)), [10, 11, 14, 15])
        self.assertEqual(self.missing("8", self.PROBE, (10, 15)), [8, 9])
        self.assertEqual(self.missing("8", self.PROBE, (1, 2), (7, 15)), [])
        self.assertEqual(self.missing("none", self.PROBE, (1, 2), (7, 15)), [3, 4, 5, 6])
        self.assertEqual(self.missing("8", None, (10, 11)), [8, 9])
        self.assertEqual(self.missing("8", None), [])
        self.assertEqual(self.missing(None, self.PROBE, (1, 2), (12, 15)), [10, 11])

    def test_holes_before_what_is_held_are_those_of_the_wished_start(self):
        wished = _changed(lambda changed: changed[of.STARTS].append({"symbol": "BTCUSDT", "first_id": "-1"}))
        self.assertTrue(any("wrongly" in problem for problem in judge_claims(wished, TRUTHS).problems))
        wished[of.HOLES].append({"symbol": "BTCUSDT", "first_id": "-1", "last_id": "0"})
        self.assertEqual(judge_claims(wished, TRUTHS).problems, [])


class OffsetsTest(unittest.TestCase):
    def test_positions_are_the_ends_of_the_topic_and_every_record_was_read(self):
        for records, skipped, right in (({0: 6}, "0", True), ({0: 7}, "0", False), ({}, "0", False), ({0: 6}, "1", False)):
            verdict = Verdict()
            judge_offsets(verdict, [everything()[of.OFFSETS][0] | {"offsets_skipped": skipped}], records)
            self.assertEqual(not verdict.problems, right, (records, skipped))


class PrintedTest(unittest.TestCase):
    def printed(self, rows: list[dict[str, str | None]]) -> str:
        names = ["symbol", "interval", "open_time", *COLUMNS, "complete"]
        lines = [",".join(names)]
        for row in rows:
            minute = int(row["open_us"]) // MINUTE_US
            words = row | {"interval": "1m", "open_time": f"1970-01-01T00:0{minute}:00Z", "complete": "true" if minute in (1, 2, 3) else "false"}
            lines.append(",".join(words[name] or "" for name in names))
        return "\n".join(lines)

    def test_equal_candles_pass(self):
        verdict = judge_printed(self.printed(candle_rows()), TRUTHS)
        self.assertEqual((verdict.problems, verdict.equal, verdict.complete), ([], 3, 3))
        self.assertTrue(verdict.passed())

    def test_what_is_altered_or_not_there_is_found(self):
        altered = candle_rows()
        altered[1]["volume"] = "7"
        self.assertFalse(judge_printed(self.printed(altered), TRUTHS).passed())
        self.assertFalse(judge_printed(self.printed(candle_rows()[:2]), TRUTHS).passed())
        self.assertFalse(judge_printed(self.printed([]), TRUTHS).passed())
        self.assertFalse(judge_printed(self.printed([]), {}).passed(), "nothing claimed is no success")


class TruthTest(unittest.TestCase):
    def test_windows_that_the_log_proves_lie_between_its_ends(self):
        self.assertEqual(whole_windows(LOG["BTCUSDT"], MINUTE_US), [MINUTE_US, 2 * MINUTE_US, 3 * MINUTE_US])
        self.assertEqual(whole_windows([trade(1, 60), trade(2, 120)], MINUTE_US), [])

    def test_the_last_id_of_a_time_counts_late_ids_too(self):
        truth = Truth([trade(1, 10), trade(2, 30), trade(3, 20)])
        self.assertEqual([truth.last_id_until(second * 1_000_000) for second in (9, 10, 20, 30)], [None, 1, 3, 3])


def _changed(change) -> Snapshot:
    changed = copy.deepcopy(everything())
    change(changed)
    return changed


def sampled(times_us: list[int], day: bool) -> Snapshot:
    """What a sound database holds of samples of LOG at these times, in candles of a minute."""
    log = LOG["BTCUSDT"]
    before = {time_us: [trade for trade in log if trade.time_us < time_us - time_us % 1_000_000 + (0 if day else 1)] for time_us in times_us}
    samples = []
    for time_us, trades in before.items():
        prices = [trade.price for trade in trades]
        of_day = (prices[0], max(prices), min(prices), Decimal("0.5") * len(trades), sum(prices) / 2, len(trades)) if day else (None,) * 6
        columns = ("open", "high", "low", "volume", "quote_volume", "trade_count")
        rest = {f"day_{name}": None if value is None else str(value) for name, value in zip(columns, of_day)}
        samples.append({"symbol": "BTCUSDT", "sample_us": str(time_us), "price": str(prices[-1]), **rest})
    minutes: dict[int, list[Decimal]] = {}
    for row in samples:
        minutes.setdefault(int(row["sample_us"]) // MINUTE_US * MINUTE_US, []).append(Decimal(row["price"]))
    made = [
        {"symbol": "BTCUSDT", "interval_s": "60", "open_us": str(open_us), "open": str(group[0]), "high": str(max(group)), "low": str(min(group)), "close": str(group[-1]),
         "average": f"{sum(group) / len(group):.8f}", "sample_count": str(len(group))}
        for open_us, group in minutes.items()
    ]
    latest = [{"symbol": "BTCUSDT", "sample_us": samples[-1]["sample_us"], "price": samples[-1]["price"], "samples_held": str(len(samples))}]
    offsets = [{"records_read": str(len(samples)), "samples_new": str(len(samples))}]
    return {of.SAMPLES: samples, of.SAMPLE_CANDLES: made, of.LATEST: latest, of.OFFSETS: offsets}


class DatabaseAwayTest(unittest.TestCase):
    def test_a_client_that_has_just_ended_means_that_the_database_is_away(self) -> None:
        database = Postgres("postgres://127.0.0.1:1/nobody", "nowhere")
        ended = subprocess.Popen("true", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        ended.wait()
        database._connect = lambda: ended
        with self.assertRaises(Unreachable):
            database.snapshot(of.TRADES)


class SampleTest(unittest.TestCase):
    """Prices that are sampled."""

    STREAM = sampled([31_000_150, 71_000_200, 75_000_900, 251_000_150], day=True)
    POLL = sampled([31_000_000, 71_000_000, 81_000_000], day=False)

    def judge(self, found: Snapshot, truth: object) -> Verdict:
        return judge_samples(found, LOG, truth, [MINUTE_US])

    def test_sound_samples_pass(self) -> None:
        for found, truth in ((self.STREAM, of_stream), (self.POLL, OfPoll(1_000_000, 0))):
            verdict = self.judge(found, truth)
            self.assertTrue(verdict.passed(), verdict.problems)
            self.assertEqual(verdict.equal, len(found[of.SAMPLE_CANDLES]))

    def test_every_altered_value_is_found(self) -> None:
        for sound, truth in ((self.STREAM, of_stream), (self.POLL, OfPoll(1_000_000, 0))):
            for name, rows in sound.items():
                for number, row in enumerate(rows):
                    for column, value in row.items():
                        if value is None or column == "records_read":
                            continue
                        altered = copy.deepcopy(sound)
                        # Within a second nobody knows when the exchange spoke, and while nothing is traded all tickers are the same.
                        changed = {"symbol": lambda _: "ETHUSDT", "sample_us": lambda value: str(int(value) + MINUTE_US)}.get(column, other)
                        altered[name][number][column] = changed(value)
                        self.assertFalse(self.judge(altered, truth).passed(), f"{name} {number} {column}")

    def test_rows_that_are_gone_or_doubled_are_found(self) -> None:
        for name, rows in self.STREAM.items():
            for number in range(len(rows)):
                for times in (0, 2):
                    altered = copy.deepcopy(self.STREAM)
                    altered[name][number : number + 1] = altered[name][number : number + 1] * times
                    self.assertFalse(self.judge(altered, of_stream).passed(), f"{name} {number} {times} times")

    def test_a_poll_may_say_what_was_the_last_price_meanwhile(self) -> None:
        late = copy.deepcopy(self.POLL)
        late[of.SAMPLES][1]["sample_us"], late[of.SAMPLES][1]["price"] = "71000000", "99"
        self.assertFalse(any("sample of 71" in problem for problem in self.judge(late, OfPoll(1_000_000, 10_000_000)).problems))
        self.assertTrue(any("sample of 71" in problem for problem in self.judge(late, OfPoll(1_000_000, 8_000_000)).problems))


if __name__ == "__main__":
    unittest.main()
