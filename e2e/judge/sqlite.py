"""A pipeline's SQLite file."""

import sqlite3
from pathlib import Path

from . import snapshot as of
from .snapshot import Snapshot, Unreachable

LONGEST_WAIT_S = 30

CANDLE_COLUMNS = """symbol, interval_s, open_time_us AS open_us, open, high, low, close, volume, quote_volume, trade_count,
    taker_buy_volume, taker_buy_quote_volume, first_trade_id, last_trade_id, version, complete"""
STATEMENTS = {
    of.TRADES: "SELECT symbol, trade_id, price, quantity, trade_time_us AS time_us, buyer_is_maker, version FROM trades_by_symbol",
    of.CANDLES: f"SELECT {CANDLE_COLUMNS} FROM candles_by_symbol",
    of.CLAIMED_CANDLES: f"SELECT {CANDLE_COLUMNS} FROM candles_by_symbol WHERE complete",
    of.EMPTY: "SELECT symbol, interval_s, open_time_us AS open_us, close FROM empty_candles",
    of.FOLDS: "SELECT symbol, interval_s, incomplete_until_us FROM folds JOIN symbol_head USING (symbol_id) WHERE output = 'candles'",
    of.RANGES: "SELECT symbol, first_id, last_id, kind, first_time_us AS first_us, last_time_us AS last_us FROM trade_ranges JOIN symbol_head USING (symbol_id)",
    of.HEADS: "SELECT symbol, version, trades_held, last_trade_id, last_trade_time_us AS last_us, last_price, max_inversion_us FROM symbol_head",
    of.PROBES: "SELECT symbol, wished_after, last_id, probe_time_us AS probe_us, settled_time_us AS settled_us FROM head_probes JOIN symbol_head USING (symbol_id)",
    of.HOLES: "SELECT symbol, first_id, last_id FROM holes JOIN symbol_head USING (symbol_id)",
    of.OFFSETS: "SELECT topic, partition, topic_id, next_offset, records_read, trades_new, trades_duplicate, records_set_aside, offsets_skipped FROM partition_offsets",
    of.COUNTED: """SELECT (SELECT coalesce(sum(trades_new), 0) FROM partition_offsets) + (SELECT coalesce(sum(trades_new), 0) FROM history_files)
                       - (SELECT coalesce(sum(trades_removed), 0) FROM rebuilds) AS trades""",
    of.COUNTS: "SELECT symbol, (SELECT count(*) FROM trades WHERE trades.symbol_id = symbol_head.symbol_id) AS rows FROM symbol_head",
}


class Sqlite:
    """A file of a pipeline. It may be read while the pipeline writes."""

    def __init__(self, path: Path, what_if: str = "") -> None:
        """`what_if` is a change that is made before everything that is read, and undone after it."""
        self.path = path
        self.what_if = what_if

    def snapshot(self, *names: str) -> Snapshot:
        try:
            connection = sqlite3.connect(f"file:{self.path}?mode={'rw' if self.what_if else 'ro'}", uri=True, timeout=LONGEST_WAIT_S, isolation_level=None)
        except sqlite3.Error as error:
            raise Unreachable(str(error)) from error
        connection.row_factory = sqlite3.Row
        try:
            connection.execute("BEGIN")
            if self.what_if:
                connection.execute(self.what_if)
            return {name: [_texts(row) for row in connection.execute(STATEMENTS[name])] for name in names}
        except sqlite3.Error as error:
            raise Unreachable(str(error)) from error
        finally:
            connection.close()

    def execute(self, statement: str) -> None:
        """Changes something."""
        connection = sqlite3.connect(self.path, timeout=LONGEST_WAIT_S)
        try:
            with connection:
                connection.execute(statement)
        finally:
            connection.close()

    def close(self) -> None:
        """Nothing stays open."""


def _texts(row: sqlite3.Row) -> dict[str, str | None]:
    return {name: None if row[name] is None else str(row[name]) for name in row.keys()}
