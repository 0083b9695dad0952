"""How many records a second the workers manage, beside loops that do nothing else and beside what the databases take by themselves."""

import statistics
import subprocess
import time
from pathlib import Path
from typing import Callable

from judge.mysql import MySql
from judge.postgres import Postgres
from process import Process

from .rig import LONGEST_RUN_S, SYMBOLS, Bench, Figures, Tables, market, metric, rows, say, unique

# Of the generated market, which is played as fast as it is read: how dense its candles are.
RATE = 5_000
AS_FAST_AS_READ = ["--speed", "0", "--start", "recorded", "--generate", *market(RATE)]
INDICATORS = {"indicators": {"movingAverageTrades": 20, "whaleValue": "100000"}}
# MariaDB takes rows so much slower that a part of the topic says as much.
PART_FOR_MYSQL = 4


def produce(bench: Bench, trades: int, rounds: int) -> Figures:
    """Records per second of the producer, and frames per second of a loop that reads them and nothing else."""
    say(f"producing {trades} trades as fast as they come")
    rates: dict[str, list[float]] = {"frames": [], "producer": []}
    figures: Figures = {}
    for _ in range(rounds):
        with bench.exchange("exchange-read", *AS_FAST_AS_READ) as exchange:
            read = bench.tool("frames", "--exchange", f"ws://{exchange}", "--count", str(trades), "--symbols", *sorted(SYMBOLS))
            rates["frames"].append(read["frames"] / read["seconds"])
        rate, memory = fill_as_fast_as_it_can(bench, bench.topic("bench-produced"), trades, {})
        rates["producer"].append(rate)
        figures["producer as fast as it can MB"] = max(memory, figures.get("producer as fast as it can MB", 0.0))
        _say_last(rates)
    return figures | _medians(rates)


def fill_as_fast_as_it_can(bench: Bench, topic: str, trades: int, source: dict) -> tuple[float, float]:
    """Records per second of a producer that brings so many trades and some more to a topic, and the MB that it took."""
    with bench.exchange("exchange-produced", *AS_FAST_AS_READ) as exchange:
        source = bench.source("simulated", sorted(SYMBOLS), exchange) | source
        with bench.producer("producer-fast", topic, source) as (process, address):
            rate = _rate(process, lambda: metric(address, "cryptopipeline_producer_records_published_total"), trades)
            return rate, Process(process.pid).peak_mb()


def read_as_fast_as_it_can(bench: Bench, topic: str, tables: Tables, trades: int, aggregation: dict) -> tuple[float, float]:
    """Records per second of an aggregator that reads so many trades of a topic, and the MB that it took."""
    with bench.aggregator(topic, tables, aggregation, unique("aggregator")) as (process, address):
        rate = _rate(process, lambda: metric(address, "cryptopipeline_aggregator_records_read_total"), trades)
        return rate, Process(process.pid).peak_mb()


def catch_up(bench: Bench, trades: int, rounds: int) -> Figures:
    """Records per second: a poll loop, the aggregator without and with stored trades, and what the databases take of the same rows."""
    topic = unique("bench")
    say(f"filling a topic with {trades} trades")
    bench.tool("fill", "--topic", topic, "--trades", str(trades))
    rates: dict[str, list[float]] = {name: [] for name in ("poll loop", "without trades", "with trades", "COPY", "with indicators", "on MariaDB", "LOAD DATA")}
    figures: Figures = {"aggregator catching up MB": 0.0}

    def aggregate(name: str, tables: Tables, trades: int, aggregation: dict) -> None:
        rate, memory = read_as_fast_as_it_can(bench, topic, tables, trades, aggregation)
        rates[name].append(rate)
        figures["aggregator catching up MB"] = max(figures["aggregator catching up MB"], memory)

    for number in range(1, rounds + 1):
        say(f"round {number} of {rounds}")
        polled = bench.tool("poll", "--topic", topic)
        rates["poll loop"].append(polled["records"] / polled["seconds"])
        with bench.postgres() as tables:
            aggregate("without trades", tables, trades, {"storeTrades": False})
        with bench.postgres() as tables:
            aggregate("with trades", tables, trades, {})
            rates["COPY"].append(_copy(tables, bench.out / "rows", trades))
        with bench.postgres() as tables:
            aggregate("with indicators", tables, trades, INDICATORS)
        with bench.mysql() as tables:
            aggregate("on MariaDB", tables, trades // PART_FOR_MYSQL, {})
            rates["LOAD DATA"].append(_load(tables, bench.out / "rows"))
        _say_last(rates)
    return figures | _medians(rates)


def _rate(process: subprocess.Popen, count: Callable[[], int], enough: int) -> float:
    """What a counter gains in a second, from when it first moves until it has enough."""
    begun, before, now_at = 0.0, 0, 0.0
    deadline = time.monotonic() + LONGEST_RUN_S
    done = 0
    while done < enough:
        done, now_at = count(), time.monotonic()
        if done and not before:
            begun, before = now_at, done
        if now_at > deadline or process.poll() is not None:
            raise SystemExit(f"{process.args[0]} has done {done} of {enough} records; see its log in the folder of --out")
        time.sleep(0.01)
    if before == done:
        raise SystemExit(f"all {enough} trades were done between two looks, which tells no rate: give more --trades")
    return (done - before) / (now_at - begun)


def _copy(tables: Postgres, file: Path, trades: int) -> float:
    """Rows per second of a COPY of the rows that the aggregator has stored, into the same table."""
    tables.execute(f"\\copy (SELECT * FROM trades) TO '{file}' (FORMAT binary)", LONGEST_RUN_S)
    held = rows(tables)
    if held != trades:
        raise SystemExit(f"{held} rows are there, not {trades}: the aggregator has not stored every trade")
    return _put_back(tables, held, file, f"\\copy trades FROM '{file}' (FORMAT binary)")


def _load(tables: MySql, file: Path) -> float:
    """Rows per second of a LOAD DATA of the rows that the aggregator has stored, into the same table; they have no average."""
    columns = "symbol_id, trade_id, trade_time_us, version, price, quantity, buyer_is_maker, is_whale"
    with file.open("w", encoding="utf-8") as into:
        tables.execute(f"SELECT {columns} FROM trades", into, LONGEST_RUN_S)
    return _put_back(tables, rows(tables), file, f"LOAD DATA LOCAL INFILE '{file}' INTO TABLE trades IGNORE 1 LINES ({columns})")


def _put_back(tables: Tables, held: int, file: Path, statement: str) -> float:
    """Rows per second of a statement that puts the trades that are held into the table again, from a file, which goes."""
    tables.execute("TRUNCATE trades")
    begun = time.monotonic()
    tables.execute(statement, longest_s=LONGEST_RUN_S)
    took = time.monotonic() - begun
    put = rows(tables)
    if put != held:
        raise SystemExit(f"{put} rows were put back, not {held}")
    file.unlink()
    return held / took


def _say_last(rates: dict[str, list[float]]) -> None:
    for name, measured in rates.items():
        say(f"  {name}: {measured[-1]:,.0f}/s")


def _medians(rates: dict[str, list[float]]) -> Figures:
    return {f"{name} per second": statistics.median(measured) for name, measured in rates.items()}
