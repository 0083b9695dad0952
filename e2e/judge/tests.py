"""The judge's own tests: it must find what is wrong, not only pass what is right."""

import copy
import unittest
from decimal import Decimal

from . import snapshot as of
from .candles import candles, whole_windows
from .judge import judge_claims, judge_everything
from .rows import judge_offsets
from .snapshot import Snapshot
from .trades import Trade
from .truth import Truth, truths
from .verdict import Verdict
from .windows import judge_printed

MINUTE_US = 60_000_000
COLUMNS = list(vars(next(iter(candles([Trade(1, Decimal(1), Decimal(1), 0, True)], MINUTE_US).values()))))


def trade(trade_id: int, second: int, price: str = "100") -> Trade:
    return Trade(trade_id, Decimal(price), Decimal("0.5"), second * 1_000_000, trade_id % 2 == 0)


# One in minute 0, two in minute 1, none in 2 and 3, one in 4.
LOG = {"BTCUSDT": [trade(1, 30), trade(2, 70, "101"), trade(3, 80, "99"), trade(4, 250)]}
TRUTHS = truths(LOG)


def candle_rows() -> list[dict[str, str | None]]:
    made = []
    for open_us, candle in candles(LOG["BTCUSDT"], MINUTE_US).items():
        row = {name: None if value is None else str(value) for name, value in vars(candle).items()}
        row.update(symbol="BTCUSDT", interval_s="60", open_us=str(open_us), complete=str(int(open_us == MINUTE_US)), version="1")
        made.append(row)
    return made


def everything() -> Snapshot:
    """What a sound database holds of the log."""
    log = LOG["BTCUSDT"]
    return {
        of.TRADES: [
            {"symbol": "BTCUSDT", "trade_id": str(one.trade_id), "price": str(one.price), "quantity": str(one.quantity), "time_us": str(one.time_us), "buyer_is_maker": str(int(one.buyer_is_maker)), "version": "1"}
            for one in log
        ],
        of.CANDLES: [row for row in candle_rows() if row["trade_count"] != "0"],
        of.CLAIMED_CANDLES: [row for row in candle_rows() if row["complete"] == "1"],
        of.EMPTY: [{"symbol": "BTCUSDT", "interval_s": "60", "open_us": str(minute * MINUTE_US), "close": "99"} for minute in (2, 3)],
        of.FOLDS: [{"symbol": "BTCUSDT", "interval_s": "60", "incomplete_until_us": None}],
        of.RANGES: [{"symbol": "BTCUSDT", "first_id": "1", "last_id": "4", "kind": "held", "first_us": "30000000", "last_us": "250000000"}],
        of.HEADS: [{"symbol": "BTCUSDT", "version": "1", "trades_held": "4", "last_trade_id": "4", "last_us": "250000000", "last_price": "100", "max_inversion_us": "0"}],
        of.PROBES: [{"symbol": "BTCUSDT", "wished_after": "0", "last_id": "4", "probe_us": "260000000", "settled_us": "255000000"}],
        of.HOLES: [],
        of.OFFSETS: [{"topic": "t", "partition": "0", "topic_id": "x", "next_offset": "6", "records_read": "6", "trades_new": "4", "trades_duplicate": "2", "records_set_aside": "0", "offsets_skipped": "0"}],
        of.COUNTED: [{"trades": "4"}],
        of.COUNTS: [{"symbol": "BTCUSDT", "rows": "4"}],
    }


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
                of.HEADS: "trades_held last_trade_id last_us last_price", of.OFFSETS: "records_read trades_new trades_duplicate records_set_aside", of.COUNTED: "trades"}
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


if __name__ == "__main__":
    unittest.main()
