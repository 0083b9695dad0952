#!/usr/bin/env python3
"""Proves the judge: everything that is spoiled on purpose must be found, and what is not must pass.

usage: sabotage.py --bin FOLDER --out FOLDER

Workers that were built to make one error in 100,000 trades, and sound databases of which one number is changed in each
column that matters, on SQLite, on PostgreSQL and on MariaDB (POSTGRES_URL and MYSQL_URL, a testbed's). Exit 1 where an
error goes unnoticed, or where the judge complains about what is sound.
"""

import argparse
import os
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Callable

from chaos.exchange import Exchange
from chaos.faults import Fault
from chaos.rig import Pipeline, Rig, Variant
from chaos.round import play
from chaos.schedule import Planned, Schedule
from demo import pipeline as manifest_of
from judge.indicators import Indicators
from judge.judge import judge_everything
from judge.mysql import MySql
from judge.postgres import Postgres
from judge.rows import judge_offsets
from judge.snapshot import EVERYTHING, OFFSETS, Database
from judge.sqlite import Sqlite
from judge.trades import Trade
from judge.truth import Truth, truths
from steps import SWITCHED_PROGRAMS, program_arguments, wait_until

# In every run but the sound ones one error of a worker is made. See crates/market/src/sabotage.rs.
WORKER_ERRORS = (
    "drop-row", "drop-from-candles", "double-in-candles", "alter-price", "alter-quantity", "alter-time", "alter-side",
    "float-sums", "inclusive-end",
)
SYMBOL = "BTCUSDT"
# What is said of the trades of every run.
SAID = Indicators(moving_average=20, whale_value="800000")
# One trade in 100,000 is spoiled: enough for one of them.
LARGE_MARKET, SMALL_MARKET = 110_000, 6_000
FIRST_ID = 1_000_001
START_US = 1_767_225_600_000_000
LONGEST_RUN_S = 600
# So long two aggregators write the same trades, and so long those that do it wrong are given to come to an end.
RACE_S = 20
SPOILED_SETTLING_S = 20

# What is changed in a sound database: a table, the column, and its new value. Every database knows these words.
SOME_TRADE = "trade_id = (SELECT max(trade_id) - 100 FROM trades)"
SOME_ORDER = "first_trade_id = (SELECT max(first_trade_id) FROM whale_orders)"
SOME_CANDLE = "interval_s = 60 AND open_time{us} = (SELECT min(open_time{us}) FROM candles WHERE interval_s = 60 AND trade_count > 1 AND first_trade_id > (SELECT min(trade_id) + 1000 FROM trades))"


def run_two_aggregators(pipeline: Pipeline, _: Random) -> str:
    """Until both have had a partition for a while."""
    def have_partitions() -> bool:
        aggregators = pipeline.node.running("aggregator")
        return len(aggregators) == 2 and all(pod.partitions_had() for pod in aggregators)

    wait_until("two aggregators have partitions", 60, have_partitions)
    time.sleep(RACE_S)
    return f"two aggregators wrote for {RACE_S} s"


AT_THE_SAME_TIME = Fault("two aggregators", "aggregators", run_two_aggregators)


@dataclass(frozen=True)
class Change:
    """A statement that makes a sound database wrong."""

    name: str
    statement: str


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments = program_arguments(parser, SWITCHED_PROGRAMS)
    proof = Proof(arguments.bin, arguments.out)
    try:
        proof.spoil_workers()
        proof.spoil_the_lock()
        proof.change_databases()
    finally:
        proof.clean_up()
    print(f"sabotage: {proof.caught} of {proof.made} caught" + (f"; sound and refused: {', '.join(proof.refused)}" if proof.refused else ""))
    for name in proof.missed:
        print(f"NOT CAUGHT {name}")
    return 0 if proof.caught == proof.made and not proof.refused else 1


class Proof:
    """Runs, changes, and what the judge said of them."""

    def __init__(self, programs: Path, out: Path) -> None:
        self.programs = programs
        self.out = out
        self.made = self.caught = 0
        self.missed: list[str] = []
        self.refused: list[str] = []
        self._databases: list[Postgres | MySql] = []

    def spoil_workers(self) -> None:
        market = write_market(self.out / "large", LARGE_MARKET)
        database, true = self.run("sound", market, "")
        self.expect_sound("workers without an error", database, true)
        for error in WORKER_ERRORS:
            database, true = self.run(error, market, error)
            self.expect_caught(f"workers that {error}", database, true)

    def spoil_the_lock(self) -> None:
        """Two aggregators that get the same trades at the same time, since records go to any partition: only the lock of
        the symbol keeps them from counting a trade twice."""
        with Rig(self.programs, self.out) as rig:
            for error in ("", "ledger-before-lock"):
                environment = {"CRYPTOPIPELINE_SABOTAGE": error} if error else {}
                variant = Variant(store_trades=False, client_config={"partitioner": "random"}, environment=environment)
                schedule = Schedule(1, [Planned(0, AT_THE_SAME_TIME, 1)], "make sabotage", variant=variant)
                folder = self.out / f"lock-{error or 'sound'}"
                outcome = play(rig, schedule, folder, SPOILED_SETTLING_S) if error else play(rig, schedule, folder)
                problems = [*outcome.problems, *outcome.false_claims]
                if error:
                    self.note_error(f"workers that read the {error}", problems)
                else:
                    self.note_sound("two workers that get the same trades", [*problems, *outcome.failures])

    def change_databases(self) -> None:
        market = write_market(self.out / "small", SMALL_MARKET)
        sqlite, true = self.run("small-sqlite", market, "")
        self.expect_sound("SQLite as it is", sqlite, true)
        for change in changes("_us", microseconds):
            self.expect_caught(f"SQLite: {change.name}", Sqlite(sqlite.path, change.statement), true)
        postgres = Postgres(os.environ["POSTGRES_URL"], unique_schema())
        self.change_server("PostgreSQL", market, postgres, changes("", lambda seconds: f"{seconds} * interval '1 second'"))
        self.change_server("MariaDB", market, MySql(os.environ["MYSQL_URL"], unique_schema()), changes("_us", microseconds))

    def change_server(self, name: str, market: Path, database: Postgres | MySql, spoiling: list[Change]) -> None:
        _, true = self.run(f"small-{name}", market, "", database)
        self.expect_sound(f"{name} as it is", database, true)
        for change in spoiling:
            self.expect_caught(f"{name}: {change.name}", type(database)(database.url, database.schema, change.statement), true)

    def run(self, name: str, market: Path, error: str, server: Postgres | MySql | None = None) -> tuple[Database, dict[str, Truth]]:
        """Plays a market as fast as it goes, into a schema of a server or else a file; what was stored, and what is true."""
        folder = self.out / name
        folder.mkdir()
        exchange = Exchange(self.programs / "exchange-sim", folder, ["--speed", "0", "--start", "recorded", "--wait", str(market)])
        manifest = folder / "pipeline.yaml"
        text = manifest_of([SYMBOL], exchange.address, said=SAID)
        environment = os.environ | ({"CRYPTOPIPELINE_SABOTAGE": error} if error else {})
        database: Database = server or Sqlite(folder / "market.db")
        line: list[str | Path] = [self.programs / "cryptopipeline", "run", manifest, "--until-idle", "3s"]
        if server is not None:
            self._databases.append(server)
            text += f"  database:\n    connectionSecret: {{name: market, key: uri}}\n    schema: {server.schema}\n"
            line += ["--database-url", server.url]
        manifest.write_text(text, encoding="utf-8")
        try:
            with (folder / "run.log").open("wb") as log:
                subprocess.run(line, check=True, stdout=log, stderr=subprocess.STDOUT, env=environment, timeout=LONGEST_RUN_S, cwd=folder)
        finally:
            logs: dict[str, list[Trade]] = exchange.end()
        return database, truths(logs)

    def expect_sound(self, name: str, database: Database, true: dict[str, Truth]) -> None:
        self.note_sound(name, judge(database, true))

    def note_sound(self, name: str, problems: list[str]) -> None:
        if problems:
            self.refused.append(name)
        print(f"{'passed' if not problems else 'REFUSED'} {name} {problems[:3] or ''}", flush=True)

    def expect_caught(self, name: str, database: Database, true: dict[str, Truth]) -> None:
        self.note_error(name, judge(database, true))

    def note_error(self, name: str, problems: list[str]) -> None:
        self.made += 1
        self.caught += bool(problems)
        if not problems:
            self.missed.append(name)
        print(f"{'caught' if problems else 'NOT CAUGHT'} {name}: {problems[0] if problems else ''}", flush=True)

    def clean_up(self) -> None:
        for database in self._databases:
            database.drop()


def unique_schema() -> str:
    return f"sabotage_{uuid.uuid4().hex[:8]}"


def microseconds(seconds: int) -> str:
    """What can be added to a time that is an integer."""
    return f"{seconds} * 1000000"


def judge(database: Database, true: dict[str, Truth]) -> list[str]:
    try:
        everything = database.snapshot(*EVERYTHING)
        verdict = judge_everything(everything, true, may_miss=False, said=SAID)
        # The broker has ended with the run: its positions are held against what was counted.
        counted = {int(row["partition"]): int(row["records_read"]) + int(row["offsets_skipped"]) for row in everything[OFFSETS]}
        judge_offsets(verdict, everything[OFFSETS], counted)
        return verdict.problems
    finally:
        database.close()


def changes(us: str, duration: Callable[[int], str]) -> list[Change]:
    """`us` is behind the names of times where they are integers; `duration` turns seconds into what can be added to one."""
    candle = SOME_CANDLE.replace("{us}", us)
    found = []

    def update(table: str, column: str, value: str, where: str) -> None:
        found.append(Change(f"{table}.{column}", f"UPDATE {table} SET {column} = {value} WHERE {where}"))

    # The symbol of a candle cannot be changed to one that there is not: the databases refuse it themselves.
    update("trades", "symbol_id", "symbol_id + 1000", SOME_TRADE)
    update("trades", "trade_id", "trade_id + 1000000", SOME_TRADE)
    update("trades", f"trade_time{us}", f"trade_time{us} + {duration(1)}", SOME_TRADE)
    update("trades", "version", "1000000", SOME_TRADE)
    update("trades", "price", "'1.5'", SOME_TRADE)
    update("trades", "quantity", "'0.00000001'", SOME_TRADE)
    update("trades", "buyer_is_maker", "NOT buyer_is_maker", SOME_TRADE)
    update("trades", "moving_average", "'1.5'", SOME_TRADE)
    update("trades", "moving_average", "NULL", SOME_TRADE)
    update("trades", "is_whale", "NOT is_whale", SOME_TRADE)
    found.append(Change("a trade that is gone", f"DELETE FROM trades WHERE {SOME_TRADE}"))
    for column, value in (("last_trade_id", "last_trade_id + 1"), ("first_trade_id", "first_trade_id - 1"), ("buyer_is_maker", "NOT buyer_is_maker"), ("quantity", "'1.5'"), ("quote_quantity", "'1.5'"), (f"trade_time{us}", f"trade_time{us} + {duration(1)}")):
        update("whale_orders", column, value, SOME_ORDER)
    found.append(Change("a whale's order that is gone", f"DELETE FROM whale_orders WHERE {SOME_ORDER}"))
    update("candles", "kind", "'samples'", candle)
    update("candles", "interval_s", "86400", candle)
    update("candles", f"open_time{us}", f"open_time{us} + {duration(1)}", candle)
    update("candles", "version", "1000000", candle)
    for column in ("open", "high", "low", "close", "volume", "quote_volume", "taker_buy_volume", "taker_buy_quote_volume"):
        update("candles", column, "'1.5'", candle)
    for column in ("trade_count", "first_trade_id", "last_trade_id"):
        update("candles", column, f"{column} + 1", candle)
    found.append(Change("a candle that is gone", f"DELETE FROM candles WHERE {candle}"))
    update("trade_ranges", "last_id", "last_id + 1", "true")
    update("trade_ranges", "last_id", "last_id - 1", "true")
    update("trade_ranges", "first_id", "first_id + 1", "true")
    update("trade_ranges", "kind", "'void'", "true")
    update("trade_ranges", f"first_time{us}", f"first_time{us} + {duration(1)}", "true")
    update("trade_ranges", f"last_time{us}", f"last_time{us} - {duration(1)}", "true")
    for column in ("trades_held", "last_trade_id", "total_trades", "total_volume", "total_quote_volume"):
        update("symbol_head", column, f"{column} + 1", "true")
    update("symbol_head", "version", "0", "true")
    update("symbol_head", "last_price", "'1.5'", "true")
    # Only what comes behind another series has a beginning.
    update("symbol_head", f"began_at{us} = last_trade_time{us}, series", "1", "true")
    update("partition_offsets", "next_offset", "next_offset + 1", "records_read > 0")
    update("partition_offsets", "records_read = records_read + 1, trades_new", "trades_new + 1", "records_read > 0")
    return found


def write_market(folder: Path, trades: int) -> Path:
    """A recording in the format of the exchange's dumps, with what goes wrong most easily: trades at the very end of a
    window, many decimals, several trades in one microsecond."""
    folder.mkdir()
    path = folder / f"{SYMBOL}-trades-2026-01-01.csv"
    lines = []
    time_us = START_US
    for number in range(trades):
        # Eight trades a second, every fortieth at its very beginning.
        time_us += 125_000 + (number * 7_919) % 9_973 if number % 3 else 0
        if number % 40 == 0:
            time_us += -time_us % 1_000_000
        cents = 8_764_821 + (number * 31) % 1_999 - (number * 17) % 1_999
        units = 1 + (number * 104_729) % 999_999_937
        price, quantity = f"{cents // 100}.{cents % 100:02}", f"{units // 10**8}.{units % 10**8:08}"
        product = cents * units
        lines.append(f"{FIRST_ID + number},{price},{quantity},{product // 10**10}.{product % 10**10:010},{time_us},{number % 5 < 2},True")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    sys.exit(main())
