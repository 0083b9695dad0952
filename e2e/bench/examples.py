"""The three examples that take the place of other systems, as their manifests have them (../../examples; a change there belongs here too), but
for one producer and one replica: what each program does and takes."""

from judge.postgres import Postgres

from .latency import Pipeline
from .rates import INDICATORS, fill_as_fast_as_it_can, read_as_fast_as_it_can
from .rig import LONGEST_RUN_S, SYMBOLS, Bench, Figures

SECONDS_A_DAY = 86_400


def a_day_of_samples(tables: Postgres) -> Figures:
    """What was sampled, repeated until there is a sample of every symbol for every second of a day, takes in such a table."""
    tables.execute(
        f"""CREATE TABLE a_day (LIKE tickers INCLUDING ALL);
            INSERT INTO a_day
            SELECT market_id, day + second * interval '1 second', version, price, day_open, day_high, day_low, day_volume,
                   day_quote_volume, day_trade_count, day + second * interval '1 second'
            FROM (SELECT *, row_number() OVER (PARTITION BY market_id) - 1 AS number, count(*) OVER (PARTITION BY market_id) AS held,
                         date_trunc('day', sample_time) AS day FROM tickers) AS samples
            JOIN generate_series(0, {SECONDS_A_DAY - 1}) AS second ON number = second % held
            ORDER BY second, market_id""",
        LONGEST_RUN_S,
    )
    sampled = tables.query("SELECT count(*) AS count, pg_total_relation_size('a_day') AS bytes FROM a_day")[0]
    if int(sampled["count"]) != SECONDS_A_DAY * len(SYMBOLS):
        raise SystemExit(f"a day has {sampled['count']} samples")
    return {"MB a day of samples": int(sampled["bytes"]) / 1e6}


POLLED = {"feed": "tickers", "pollIntervalMs": 1_000, "encoding": "priceTick"}
STREAMED = {"feed": "tickers", "encoding": "ticker"}
TRADES = {"encoding": "trade"}
QUICK = INDICATORS | {"flushIntervalMs": 10}
# They have less to settle than ten thousand trades a second.
SETTLING_S = 10
EXAMPLES = (
    Pipeline("rest-mysql", 55, POLLED, {"intervals": ["1m"]}, "moving-averages", on_mysql=True, settling_s=SETTLING_S),
    Pipeline("ohlc-postgres", 55, STREAMED, {}, "ohlc", settling_s=SETTLING_S, of_tables=a_day_of_samples),
    Pipeline("whales-scram", 1_000, TRADES, INDICATORS, "trades", over_tls=True, settling_s=SETTLING_S),
    # What the third says of its consumer's latency is less than the flush interval, which a user may choose.
    Pipeline("whales-scram, flushInterval 10ms", 1_000, TRADES, QUICK, "trades", over_tls=True, settling_s=SETTLING_S),
)


def whales_as_fast_as_they_come(bench: Bench, trades: int) -> Figures:
    """Records per second of the third example's programs, one after the other on one topic, and what a trade takes in the database."""
    bench = bench.over_tls()
    topic = bench.topic("bench-whales")
    produced, _ = fill_as_fast_as_it_can(bench, topic, trades, TRADES)
    with bench.postgres("trades") as tables:
        read, _ = read_as_fast_as_it_can(bench, topic, tables, trades, INDICATORS)
        return {
            "whales-scram producer per second": produced,
            "whales-scram aggregator per second": read,
            "bytes a trade": _bytes_a_trade(tables),
            "bytes a trade in their table": _bytes_a_trade_in_their_table(tables),
        }


def _bytes_a_trade(tables: Postgres) -> float:
    """Its share of the indexes and of the free space within pages included."""
    sizes = """SELECT (SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'trades'::regclass) AS bytes,
                      (SELECT count(*) FROM trades) AS trades"""
    found = tables.query(sizes)[0]
    return int(found["bytes"]) / int(found["trades"])


def _bytes_a_trade_in_their_table(tables: Postgres) -> float:
    """The same trades in a table with the columns of the system that is replaced, and an index for each look-up that it is to be fast for: by symbol
    and time, by time, and of whales."""
    tables.execute(
        """CREATE TABLE theirs (
               id bigserial PRIMARY KEY, symbol varchar(20), price numeric(20, 8), quantity numeric(20, 8), trade_time timestamptz,
               trade_value numeric(20, 8), is_buyer_maker boolean, moving_average numeric(20, 8), is_whale_trade boolean,
               created_at timestamptz DEFAULT now());
           CREATE INDEX ON theirs (symbol, trade_time);
           CREATE INDEX ON theirs (trade_time);
           CREATE INDEX ON theirs (symbol, trade_time) WHERE is_whale_trade;
           INSERT INTO theirs (symbol, price, quantity, trade_time, trade_value, is_buyer_maker, moving_average, is_whale_trade)
           SELECT symbol, price, quantity, trade_time, price * quantity, buyer_is_maker, moving_average, is_whale
           FROM trades_by_symbol ORDER BY trade_time, symbol, trade_id""",
        LONGEST_RUN_S,
    )
    found = tables.query("SELECT pg_total_relation_size('theirs') AS bytes, count(*) AS trades FROM theirs")[0]
    return int(found["bytes"]) / int(found["trades"])
