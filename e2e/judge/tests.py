"""The judge's own tests: it must find what is wrong, not only pass what is right."""

import unittest
from decimal import Decimal

from .candles import candles, whole_windows
from .compare import compare
from .trades import Trade

MINUTE_US = 60_000_000


def trade(trade_id: int, second: int, price: str = "100") -> Trade:
    return Trade(trade_id, Decimal(price), Decimal("0.5"), second * 1_000_000, trade_id % 2 == 0)


LOG = {"BTCUSDT": [trade(1, 30), trade(2, 70, "101"), trade(3, 80, "99"), trade(4, 250)]}


def rows() -> list[dict[str, str]]:
    made = []
    for open_us, candle in candles(LOG["BTCUSDT"], MINUTE_US).items():
        minute = open_us // MINUTE_US
        row = {name: "" if value is None else str(value) for name, value in vars(candle).items()}
        row.update(symbol="BTCUSDT", interval="1m", open_time=f"1970-01-01T00:0{minute}:00Z", complete=str(minute in (1, 2, 3)).lower())
        made.append(row)
    return made


class CompareTest(unittest.TestCase):
    def test_equal_candles_pass(self):
        verdict = compare(rows(), LOG)
        self.assertEqual((verdict.problems, verdict.equal, verdict.complete), ([], 3, 3))
        self.assertTrue(verdict.passed())

    def test_every_altered_field_of_a_complete_candle_is_found(self):
        for name in vars(next(iter(candles(LOG["BTCUSDT"], MINUTE_US).values()))):
            altered = rows()
            altered[1][name] = str(Decimal(altered[1][name]) + Decimal(1))
            self.assertFalse(compare(altered, LOG).passed(), name)

    def test_a_window_that_is_not_complete_or_not_there_is_found(self):
        incomplete = rows()
        incomplete[2]["complete"] = "false"
        self.assertFalse(compare(incomplete, LOG).passed())
        self.assertFalse(compare(rows()[:2], LOG).passed())

    def test_a_false_claim_about_the_edges_is_found(self):
        claimed = rows()
        claimed[0]["complete"] = "true"
        claimed[0]["volume"] = "2"
        self.assertFalse(compare(claimed, LOG).passed())

    def test_nothing_claimed_is_no_success(self):
        self.assertFalse(compare([], {}).passed())
        self.assertFalse(compare([], LOG).passed())

    def test_windows_that_the_log_proves_lie_between_its_ends(self):
        self.assertEqual(whole_windows(LOG["BTCUSDT"], MINUTE_US), [MINUTE_US, 2 * MINUTE_US, 3 * MINUTE_US])
        exact = [trade(1, 60), trade(2, 120)]
        self.assertEqual(whole_windows(exact, MINUTE_US), [])


if __name__ == "__main__":
    unittest.main()
