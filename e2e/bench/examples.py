"""The three examples that take the place of other systems, as their manifests have them (../../examples; a change there belongs here too), but
for one producer and one replica: what each program does and takes."""

import contextlib
from dataclasses import dataclass

from judge.postgres import Postgres
from process import Process

from .latency import spread
from .rates import INDICATORS, fill_as_fast_as_it_can, read_as_fast_as_it_can
from .rig import LONGEST_RUN_S, SYMBOLS, Bench, Figures, Tables, market

SECONDS_A_DAY = 86_400
SKIP_S = 10


@dataclass(frozen=True)
class Example:
    """What differs between them."""

    name: str
    # Beside what every source has.
    source: dict
    aggregation: dict
    # Whose tables are there as views.
    views: str
    # Trades per second of the exchange.
    rate: int
    on_mysql: bool = False
    over_tls: bool = False


POLLED = {"feed": "tickers", "pollIntervalMs": 1_000, "encoding": "priceTick"}
STREAMED = {"feed": "tickers", "encoding": "ticker"}
TRADES = {"encoding": "trade"}
EXAMPLES = (
    Example("rest-mysql", POLLED, {"intervals": ["1m"]}, "moving-averages", rate=55, on_mysql=True),
    Example("ohlc-postgres", STREAMED, {}, "ohlc", rate=55),
    Example("whales-scram", TRADES, INDICATORS, "trades", rate=1_000, over_tls=True),
    # What the third says of its consumer's latency is less than the flush interval, which a user may choose.
    Example("whales-scram, flushInterval 10ms", TRADES, INDICATORS | {"flushIntervalMs": 10}, "trades", rate=1_000, over_tls=True),
)


def as_it_runs(bench: Bench, example: Example, seconds: int) -> Figures:
    name = example.name
    bench = bench.over_tls() if example.over_tls else bench
    with contextlib.ExitStack() as stack:
        topic = bench.topic("bench-example")
        tables = stack.enter_context(bench.mysql(example.views) if example.on_mysql else bench.postgres(example.views))
        aggregator, _ = stack.enter_context(bench.aggregator(topic, tables, example.aggregation, "aggregator-example"))
        # Polls subscribe to nothing, which the exchange could wait for.
        waits = [] if "pollIntervalMs" in example.source else ["--wait"]
        exchange = stack.enter_context(bench.exchange("exchange-example", *waits, "--generate", *market(example.rate)))
        source = bench.source("simulated", sorted(SYMBOLS), exchange) | example.source
        producer, _ = stack.enter_context(bench.producer("producer-example", topic, source))
        programs = {"producer": Process(producer.pid), "aggregator": Process(aggregator.pid)}
        tickers = ["--tickers"] if example.source.get("feed") == "tickers" else []
        figures = spread(name, bench.watch(topic, tables, seconds, *tickers, skip_s=SKIP_S))
        figures |= {f"{name} {program} MB": process.peak_mb() for program, process in programs.items()}
        if name == "ohlc-postgres":
            figures["MB a day of samples"] = _a_day_of_samples(tables) / 1e6
        return figures


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


def _a_day_of_samples(tables: Tables) -> int:
    """Bytes of what was sampled, repeated until there is a sample of every symbol for every second of a day, in such a table."""
    assert isinstance(tables, Postgres)
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
    return int(sampled["bytes"])


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
