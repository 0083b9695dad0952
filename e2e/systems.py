"""The systems that an example takes the place of: their manifest with the testbed's addresses, their queries and consumers as
docs/migrate shows them, and what must be true of what the example stores."""

import os
import re
import shlex
import subprocess
from collections import Counter
from decimal import Decimal
from pathlib import Path

from documents import EXAMPLES, commands_of_example
from generated_market import SYMBOLS, GeneratedMarket
from judge import snapshot as of
from judge.indicators import Indicators
from judge.mysql import MySql
from judge.postgres import Postgres
from judge.samples import OfPoll, Truth, candles_of, judge_samples, of_stream
from judge.snapshot import Row
from steps import CHECKOUT, Failed, broker_tool, wait_until

MIGRATE = CHECKOUT / "docs/migrate"
EXCHANGE = "    exchange: binance\n"
MINUTE_US = 60_000_000


class System:
    """One of them. What differs stands in the classes below."""

    name: str
    topic: str
    port: int
    # What the commands and the consumer of its page call things, and what they are here.
    replaced: dict[str, str]
    in_manifest: dict[str, str]
    market: GeneratedMarket
    database: MySql | Postgres
    # Where its queries are asked.
    asked: MySql | Postgres
    database_server: str
    # What its users know.
    views: list[str]

    def address(self) -> str:
        return f"{os.environ['TESTBED_HOST_FOR_PODS']}:{self.port}"

    def manifest(self) -> str:
        """The example as it is, with the testbed's addresses in place of its own."""
        text = (EXAMPLES / f"{self.name}.yaml").read_text(encoding="utf-8")
        endpoints = f"    venue: simulated\n    endpoints: {{websocket: 'ws://{self.address()}', rest: 'http://{self.address()}'}}\n"
        for ours, theirs in {EXCHANGE: EXCHANGE + endpoints, **self.in_manifest}.items():
            if text.count(ours) != 1:
                raise Failed(f"examples/{self.name}.yaml has no {ours!r}, or more than one")
            text = text.replace(ours, theirs)
        return text

    def secrets(self) -> list[list[str]]:
        """The words of the commands that make its Secrets, as its comment shows them; the last command applies the manifest."""
        *create, apply = commands_of_example(f"{self.name}.yaml")
        if apply != f"kubectl apply -f examples/{self.name}.yaml":
            raise Failed(f"examples/{self.name}.yaml shows {apply}")
        text = "\n".join(create)
        for theirs, ours in self.replaced.items():
            if theirs not in text:
                raise Failed(f"examples/{self.name}.yaml shows no {theirs}: {text}")
            text = text.replace(theirs, ours)
        return [shlex.split(line)[1:] for line in text.splitlines()]

    def queries(self) -> list[str]:
        blocks = re.findall(r"(?ms)^```sql\n(.*?)^```", (MIGRATE / f"{self.name}.md").read_text(encoding="utf-8"))
        return [query.strip() for block in blocks for query in block.split(";") if query.strip()]

    def answers(self) -> bool:
        """Whether every query of its page has rows."""
        return all(self.asked.query(query) for query in self.queries())

    def consumer(self, folder: Path) -> Path:
        """The consumer of its page, with the testbed's broker."""
        (text,) = re.findall(r"(?ms)^```python\n(.*?)^```", (MIGRATE / f"{self.name}.md").read_text(encoding="utf-8"))
        for theirs, ours in self.in_consumer().items():
            if theirs not in text:
                raise Failed(f"docs/migrate/{self.name}.md has no {theirs} in its consumer")
            text = text.replace(theirs, ours)
        path = folder / f"{self.name}.py"
        path.write_text(text, encoding="utf-8")
        return path

    def in_consumer(self) -> dict[str, str]:
        return {'"kafka:9092"': f'"{os.environ["KAFKA_BOOTSTRAP"]}"'}

    def printed(self) -> Counter:
        """What its consumer prints of the records of what is stored, each once."""
        raise NotImplementedError

    def judge(self) -> None:
        """What is stored against the exchange, and its views against what is stored; the exchange has ended."""
        raise NotImplementedError

    def newest(self) -> dict[str, str]:
        """By symbol, something that changes when more is stored."""
        raise NotImplementedError

    def goes_on(self) -> None:
        before = self.newest()

        def more() -> bool:
            now = self.newest()
            return set(now) == set(SYMBOLS) and all(now[symbol] != before.get(symbol) for symbol in SYMBOLS)

        wait_until(f"more of every symbol of {self.name} is stored", 120, more)

    def forget(self) -> None:
        """Schema, views and topic."""
        self.drop_views()
        self.database.drop()
        topics = "org.apache.kafka.tools.TopicCommand"
        if self.topic in broker_tool(topics, "--list").splitlines():
            broker_tool(topics, "--delete", "--topic", self.topic)

    def drop_views(self) -> None:
        """Those that do not go with their tables."""

    def close(self) -> None:
        self.database.close()
        self.asked.close()
        self.market.stop()


class OfPrices(System):
    """Its prices are sampled."""

    truth: Truth
    intervals_us: list[int]

    def newest(self) -> dict[str, str]:
        return {row["symbol"]: row["sample_us"] for row in self.database.snapshot(of.LATEST)[of.LATEST]}

    def judge(self) -> None:
        found = self.database.snapshot(*of.OF_PRICES)
        verdict = judge_samples(found, self.market.logs(), self.truth, self.intervals_us)
        print(f"   {self.name}: {verdict.trades} samples, {verdict}", flush=True)
        problems = verdict.problems + self.wrong_views(found)
        if problems or not verdict.passed():
            raise Failed("\n".join(problems[:20]) or "nothing was sampled")

    def wrong_views(self, found: of.Snapshot) -> list[str]:
        raise NotImplementedError

    def samples(self, found: of.Snapshot) -> dict[str, dict[int, Decimal]]:
        samples: dict[str, dict[int, Decimal]] = {}
        for row in found[of.SAMPLES]:
            samples.setdefault(row["symbol"], {})[int(row["sample_us"])] = Decimal(row["price"])
        return samples


class RestMysql(OfPrices):
    name, topic, port = "rest-mysql", "crypto_prices", 9081
    database_server = "mariadb"
    views = ["moving_averages"]
    truth = OfPoll(turn_us=1_000_000, longest_us=10_000_000)
    intervals_us = [MINUTE_US]

    def __init__(self, programs: Path, folder: Path) -> None:
        # A sample has the time of this machine, so the market has it too.
        self.market = GeneratedMarket(programs, self.address(), folder, speed=1, waits=False)
        self.database, self.asked = MySql(os.environ["MYSQL_URL"], "prices"), MySql(os.environ["MYSQL_URL"], "crypto")
        self.replaced = {"mysql://USER:PASSWORD@HOST:3306/": os.environ["MYSQL_URL_PODS"]}
        self.in_manifest = {"kafka:9092\n    topic": f"{os.environ['KAFKA_BOOTSTRAP_PODS']}\n    topic"}

    def drop_views(self) -> None:
        self.asked.drop()

    def printed(self) -> Counter:
        rows = self.database.snapshot(of.SAMPLES)[of.SAMPLES]
        return Counter(f"{row['symbol']} {float(row['price'])} {int(row['sample_us']) / 1_000_000}" for row in rows)

    def wrong_views(self, found: of.Snapshot) -> list[str]:
        """Each minute after which there is a sample."""
        expected = {
            (symbol, open_us): candle["average"]
            for symbol, samples in self.samples(found).items()
            for open_us, candle in candles_of(samples, MINUTE_US).items()
            if max(samples) >= open_us + MINUTE_US
        }
        rows = self.asked.query("SELECT symbol, UNIX_TIMESTAMP(start_time) AS start_s, average_price FROM moving_averages")
        shown = {(row["symbol"], int(row["start_s"].partition(".")[0]) * 1_000_000): Decimal(row["average_price"]) for row in rows}
        return [] if shown == expected and len(rows) == len(shown) else [f"moving_averages shows {shown}, the samples make {expected}"]


class OhlcPostgres(OfPrices):
    name, topic, port = "ohlc-postgres", "binance-prices", 9082
    database_server = "postgres"
    views = ["stock.real_time_prices", "stock.aggregated_prices_1min", "stock.aggregated_prices_5min", "stock.latest_prices"]
    truth = staticmethod(of_stream)
    intervals_us = [MINUTE_US, 5 * MINUTE_US]

    def __init__(self, programs: Path, folder: Path) -> None:
        self.market = GeneratedMarket(programs, self.address(), folder, speed=5)
        self.database, self.asked = Postgres(os.environ["POSTGRES_URL"], "prices"), Postgres(os.environ["POSTGRES_URL"], "public")
        self.replaced = {"postgres://USER:PASSWORD@HOST:5432/DATABASE": os.environ["POSTGRES_URL_PODS"]}
        self.in_manifest = {"kafka:9092\n    topic": f"{os.environ['KAFKA_BOOTSTRAP_PODS']}\n    topic"}

    def printed(self) -> Counter:
        columns = """symbol, price::float8 AS price, floor(extract(epoch FROM sample_time) * 1000)::bigint AS ms,
            to_char(sample_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"') AS event_time,
            day_volume, day_high, day_low, day_open, day_trade_count"""
        rows = self.database.query(f"SELECT {columns} FROM tickers_by_symbol")
        return Counter(
            " ".join([row["symbol"], number(row["price"]), row["ms"], row["event_time"], *(number(row[name]) for name in ("day_volume", "day_high", "day_low", "day_open")), row["day_trade_count"]])
            for row in rows
        )

    def wrong_views(self, found: of.Snapshot) -> list[str]:
        problems = []
        names = {"open_price": "open", "high_price": "high", "low_price": "low", "close_price": "close", "avg_price": "average", "trade_count": "sample_count"}
        for view, interval_us in (("aggregated_prices_1min", MINUTE_US), ("aggregated_prices_5min", 5 * MINUTE_US)):
            rows = self.database.query(f"SELECT *, extract(epoch FROM window_start)::bigint AS start_s FROM stock.{view}")
            shown = {(row["symbol"], int(row["start_s"]) * 1_000_000): {ours: Decimal(row[theirs]) for theirs, ours in names.items()} for row in rows}
            expected = {
                (symbol, open_us): candle for symbol, samples in self.samples(found).items() for open_us, candle in candles_of(samples, interval_us).items()
            }
            if shown != expected or len(shown) != len(rows):
                problems.append(f"{view} shows {shown}, the samples make {expected}")
        shown = {(row["symbol"], Decimal(row["price"])) for row in self.database.query("SELECT symbol, price FROM stock.latest_prices")}
        if shown != {(symbol, samples[max(samples)]) for symbol, samples in self.samples(found).items()}:
            problems.append(f"latest_prices shows {shown}")
        return problems


class WhalesScram(System):
    name, topic, port = "whales-scram", "crypto-trades", 9083
    database_server = "postgres"
    views = ["trades", "trade_aggregates"]
    # As the example asks for.
    said = Indicators(moving_average=20, whale_value="100000")

    def __init__(self, programs: Path, folder: Path) -> None:
        # A hundred trades a second of what is traded most, among which are whales'.
        self.market = GeneratedMarket(programs, self.address(), folder, speed=5, rates={"BTCUSDT": 40})
        security = os.environ["TESTBED_SECURITY"]
        url = f"{os.environ['POSTGRES_SECURE_ADMIN_URL']}?sslmode=verify-full&sslrootcert={security}/ca.crt"
        self.database, self.asked = Postgres(url, "market"), Postgres(url, "public")
        self.replaced = {
            "KAFKA_CA.crt": f"{security}/ca.crt",
            "POSTGRES_CA.crt": f"{security}/ca.crt",
            "postgres://USER:PASSWORD@HOST:5432/DATABASE": os.environ["POSTGRES_SECURE_ADMIN_URL_PODS"],
            "username=USER": f"username={os.environ['KAFKA_USER']}",
            "password=PASSWORD": f"password={os.environ['KAFKA_PASSWORD']}",
        }
        # One broker keeps no three replicas.
        self.in_manifest = {
            "kafka:9093\n    topic": f"{os.environ['KAFKA_BOOTSTRAP_SECURE_PODS']}\n    topic",
            "replicationFactor: 3": "replicationFactor: 1",
        }

    def in_consumer(self) -> dict[str, str]:
        return {
            '"kafka:9093"': f'"{os.environ["KAFKA_BOOTSTRAP_SECURE"]}"',
            '"ca.crt"': f'"{os.environ["TESTBED_SECURITY"]}/ca.crt"',
            '"USER"': f'"{os.environ["KAFKA_USER"]}"',
            '"PASSWORD"': f'"{os.environ["KAFKA_PASSWORD"]}"',
        }

    def newest(self) -> dict[str, str]:
        return {row["symbol"]: row["last_trade_id"] for row in self.database.query("SELECT symbol, last_trade_id FROM symbol_head")}

    def goes_on(self) -> None:
        super().goes_on()
        self.market.wait_until_held(self.database)

    def printed(self) -> Counter:
        columns = "symbol, (price * quantity)::numeric AS value, floor(extract(epoch FROM trade_time) * 1000)::bigint AS ms, buyer_is_maker"
        rows = self.database.query(f"SELECT {columns} FROM trades_by_symbol")
        return Counter(f"{row['symbol']} {Decimal(row['value']).normalize():f} {row['ms']} {row['buyer_is_maker'] == 't'}" for row in rows)

    def judge(self) -> None:
        self.market.end_and_judge(self.database, self.said)
        problems = []
        wrong = """SELECT count(*) AS wrong FROM public.trades AS shown FULL JOIN market.trades_by_symbol AS stored
                     ON shown.symbol = stored.symbol AND shown.id / 1000 = stored.trade_id
                   WHERE shown.price IS DISTINCT FROM stored.price OR shown.quantity IS DISTINCT FROM stored.quantity
                      OR shown.trade_time IS DISTINCT FROM stored.trade_time OR shown.trade_value IS DISTINCT FROM stored.price * stored.quantity
                      OR shown.is_buyer_maker IS DISTINCT FROM stored.buyer_is_maker OR shown.moving_average IS DISTINCT FROM stored.moving_average
                      OR shown.is_whale_trade IS DISTINCT FROM stored.is_whale"""
        if (count := self.asked.query(wrong)[0]["wrong"]) != "0":
            problems.append(f"{count} rows of trades are not as stored")
        totals = """SELECT symbol, count(*)::text || ' ' || sum(quantity)::text AS total, (array_agg(moving_average ORDER BY trade_id DESC))[1]::text AS average
                    FROM market.trades_by_symbol GROUP BY symbol ORDER BY symbol"""
        shown = "SELECT symbol, trade_count::text || ' ' || total_volume::text AS total, moving_average::text AS average FROM trade_aggregates ORDER BY symbol"
        if (found := self.asked.query(shown)) != (expected := self.asked.query(totals)):
            problems.append(f"trade_aggregates shows {found}, the trades make {expected}")
        if problems:
            raise Failed("\n".join(problems))


SYSTEMS: dict[str, type[System]] = {system.name: system for system in (RestMysql, OhlcPostgres, WhalesScram)}


def number(text: str) -> str:
    """As Python prints a JSON number of these digits."""
    value = Decimal(text).normalize()
    return str(int(value)) if value == value.to_integral_value() else str(float(value))


def printed_by(python: str, consumer: Path, wished: Counter, seconds: int) -> Counter:
    """What a consumer has printed by the time that it has printed all of `wished`, or the time is over."""
    log = consumer.with_suffix(".out")
    with log.open("wb") as out, consumer.with_suffix(".err").open("wb") as err:
        process = subprocess.Popen([python, consumer], stdout=out, stderr=err)
    printed: Counter = Counter()

    def is_all() -> bool:
        printed.clear()
        printed.update(normal(line) for line in log.read_text(encoding="utf-8").splitlines())
        if process.poll() is not None:
            raise Failed(f"{consumer.name} ended:\n{consumer.with_suffix('.err').read_text(encoding='utf-8')}")
        return not wished - printed

    def is_over() -> bool:
        """It prints nothing more, for six looks."""
        before = sum(printed.values())
        is_all()
        still.append(sum(printed.values()) == before)
        return all(still[-6:]) and len(still) >= 6

    still: list[bool] = []
    try:
        wait_until(f"{consumer.name} has printed every record that is stored", seconds, is_all)
        wait_until(f"{consumer.name} prints nothing more", seconds, is_over)
    finally:
        process.kill()
        process.wait()
    return printed


def normal(line: str) -> str:
    """Without the zeros at the end of an exact product."""
    words = line.split(" ")
    if len(words) == 4:
        words[1] = f"{Decimal(words[1]).normalize():f}"
    return " ".join(words)


def rows_as_text(rows: list[Row]) -> str:
    return "\n".join(" | ".join(str(value) for value in row.values()) for row in rows[:3])
