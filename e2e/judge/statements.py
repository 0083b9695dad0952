"""What is asked of a pipeline's tables: the same words for every database, but for times and truths."""

from typing import Callable

from . import snapshot as of

# The series of a symbol are judged as if each were a symbol of its own.
SYMBOL = "CASE WHEN series = 0 THEN symbol ELSE symbol || '#' || series END AS symbol"


def statements(us: Callable[[str], str], truth: Callable[[str], str]) -> dict[str, str]:
    """By what is asked for. `us` makes microseconds of a column of times, and 1 or 0 `truth` of one of truths."""
    candles = f"""SELECT {SYMBOL}, interval_s, {us("open_time")} AS open_us, open, high, low, close, volume, quote_volume, trade_count,
        taker_buy_volume, taker_buy_quote_volume, first_trade_id, last_trade_id, version, {truth("complete")} AS complete FROM candles_by_symbol"""
    return {
        of.TRADES: f"SELECT {SYMBOL}, trade_id, price, quantity, {us('trade_time')} AS time_us, {truth('buyer_is_maker')} AS buyer_is_maker, version, moving_average, {truth('is_whale')} AS is_whale FROM trades_by_symbol",
        of.WHALE_ORDERS: f"""SELECT {SYMBOL}, first_trade_id, last_trade_id, trade_count, {us('trade_time')} AS time_us, {truth('buyer_is_maker')} AS buyer_is_maker,
        quantity, quote_quantity, {truth('final')} AS final FROM whale_orders_by_symbol""",
        of.CANDLES: candles,
        of.CLAIMED_CANDLES: f"{candles} WHERE complete",
        of.EMPTY: f"SELECT {SYMBOL}, interval_s, {us('open_time')} AS open_us, close FROM empty_candles",
        of.FOLDS: f"SELECT {SYMBOL}, interval_s, {us('incomplete_until')} AS incomplete_until_us FROM folds JOIN symbol_head USING (symbol_id) WHERE output = 'candles'",
        of.RANGES: f"SELECT {SYMBOL}, first_id, last_id, kind, {us('first_time')} AS first_us, {us('last_time')} AS last_us FROM trade_ranges JOIN symbol_head USING (symbol_id)",
        of.HEADS: f"SELECT {SYMBOL}, version, trades_held, last_trade_id, {us('last_trade_time')} AS last_us, last_price, max_inversion_us, total_trades, total_volume, total_quote_volume FROM symbol_head",
        of.PROBES: f"SELECT {SYMBOL}, wished_after, last_id, {us('probe_time')} AS probe_us, {us('settled_time')} AS settled_us FROM head_probes JOIN symbol_head USING (symbol_id)",
        of.STARTS: f"SELECT {SYMBOL}, first_id FROM history_starts JOIN symbol_head USING (symbol_id)",
        of.FLOORS: f"SELECT output, {us('floor_time')} AS floor_us FROM floors",
        of.HOLES: f"SELECT {SYMBOL}, first_id, last_id FROM holes JOIN symbol_head USING (symbol_id)",
        of.OFFSETS: 'SELECT topic, "partition", topic_id, next_offset, records_read, trades_new, trades_duplicate, samples_new, samples_duplicate, records_set_aside, offsets_skipped FROM partition_offsets',
        of.COUNTED: """SELECT (SELECT coalesce(sum(trades_new), 0) FROM partition_offsets) + (SELECT coalesce(sum(trades_new), 0) FROM history_files)
                           - (SELECT coalesce(sum(trades_removed), 0) FROM rebuilds) AS trades""",
        of.SAMPLES: f"""SELECT symbol, {us('sample_time')} AS sample_us, price, day_open, day_high, day_low, day_volume, day_quote_volume,
        day_trade_count FROM tickers_by_symbol""",
        of.SAMPLE_CANDLES: f"SELECT symbol, interval_s, {us('open_time')} AS open_us, open, high, low, close, average, sample_count FROM sample_candles_by_symbol",
        of.LATEST: f"SELECT symbol, {us('sample_time')} AS sample_us, price, samples_held FROM latest_tickers",
        of.COUNTS: f'SELECT {SYMBOL}, (SELECT count(*) FROM trades WHERE trades.symbol_id = symbol_head.symbol_id) AS "rows" FROM symbol_head',
    }
