#!/usr/bin/env python3
"""The dashboard of docs/superset.md in a real Apache Superset, over a PostgreSQL that a run fills: imported by the commands of the page,
every chart answered and drawn, figures compared with SQL, an alert that fires and ceases, a report with a picture.

usage: superset.py --bin FOLDER --out FOLDER

Needs the testbed's services (eval "$(testbed/up services)"). The pictures stay in OUT: superset.png, report.png.
"""

import argparse
import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import struct
import subprocess
import sys
import time
import urllib.parse
import urllib.request
import uuid
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import demo
import simulator
from bench.rig import free_port
from browser import FLAGS, Browser
from judge.postgres import Postgres
from mail_sink import MailSink
from steps import CHECKOUT, Failed, Test, command, program_arguments, wait_until
from superset_pages import COLOURS, LOOK, Api

PAGE = CHECKOUT / "docs/superset.md"
DASHBOARD = "cryptopipeline-market"
SCHEMA = "market"
MARKET = {"BTCUSDT": 8, "ETHUSDT": 6, "SOLUSDT": 4, "BNBUSDT": 3, "ADAUSDT": 2}
HISTORY_MINUTES = 30
# Of this symbol as many trades are kept back.
SPOILED, KEPT_BACK = "ADAUSDT", 40
LONGEST_COMMAND_S = 300
# What a market must have missed for before the alert speaks of it.
GRACE_S = 60
REST_IS_AWAY_MS = 3_600_000
WINDOW = 1600, 2110
# Runs an alert or a report as Superset's worker does, with neither a worker nor a broker of Celery's.
EXECUTE = """
import sys, uuid
from datetime import datetime
from superset.app import create_app
with create_app().app_context():
    from superset.commands.report.execute import AsyncExecuteReportScheduleCommand
    AsyncExecuteReportScheduleCommand(str(uuid.uuid4()), int(sys.argv[1]), datetime.utcnow()).run()
"""
# Of the dashboard (label_colors), and what Superset takes where none is said.
GREEN, RED, UNSAID = [46, 158, 107], [217, 83, 79], [31, 168, 201]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments = program_arguments(parser)
    return SupersetTest(arguments.bin, arguments.out).verdict("Superset")


class SupersetTest(Test):
    def __init__(self, programs: Path, out: Path) -> None:
        super().__init__()
        self.programs = programs
        self.out = out
        self.name = f"superset_{uuid.uuid4().hex[:8]}"
        self.server = os.environ["POSTGRES_URL"]
        self.database = Postgres(in_database(self.server, self.name), SCHEMA)
        self.role_password, self.admin_password = secrets.token_hex(16), secrets.token_hex(16)
        self.cleanup = contextlib.ExitStack()
        self.charts: dict[str, int] = {}

    def run(self) -> None:
        self.step("Superset and Chromium are there", self.install)
        self.step("a pipeline begins, with history and live trades", self.begin_pipeline)
        self.step("Superset has a database and an administrator", self.set_up_superset)
        self.step("the history is held", lambda: self.wait_until_nothing_is_missing(180))
        self.step(f"{KEPT_BACK} trades of {SPOILED} are kept back", self.spoil)
        self.step("a role that may read is made as the page says", self.make_role)
        self.step("the dashboard is imported as the page says", self.import_dashboard)
        self.step("imported again, the database keeps its address", self.import_again)
        self.step("the alert and the report are made as the page says, and once only", self.make_reports)
        self.step("the charts tell what is missing", self.charts_tell_what_is_missing)
        self.step("the alert fires, by mail", self.alert_fires)
        self.step("the exchange has the trades again, and the charts tell that nothing is missing", self.mend)
        self.step("the alert ceases", self.alert_ceases)
        self.step("every chart is drawn by a browser, and asks again by itself", self.look)
        self.step("the report brings a picture of the dashboard", self.report_comes)
        self.step("the pipeline ends", self.end_pipeline)
        self.step("every chart is answered, with the figures that SQL gives", self.compare)

    def install(self) -> None:
        line = [CHECKOUT / "e2e/python-tools", "superset", "chromium=chromium", "chromedriver=chromium-driver"]
        done = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True, timeout=900)
        self.tools = Path(done.stdout.strip())

    def begin_pipeline(self) -> None:
        # Roles are of the whole server: ours goes after the database that it was granted things in.
        self.cleanup.callback(psql, self.server, f"DROP ROLE IF EXISTS {self.name}")
        # The pipeline's, and that of Superset itself, whose web server and worker would be in each other's way in SQLite.
        for name in (self.name, f"{self.name}_own"):
            psql(self.server, f"CREATE DATABASE {name}")
            self.cleanup.callback(psql, self.server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self.cleanup.callback(self.database.close)
        generated = [f"{symbol}={rate}/s" for symbol, rate in MARKET.items()]
        exchange = self.start("exchange-sim", [self.programs / "exchange-sim", "--listen", "127.0.0.1:0", "--history", "1h", "--generate", *generated])
        self.exchange = demo.wait_for_address(exchange, self.out / "exchange-sim.log")
        manifest = self.out / "pipeline.yaml"
        manifest.write_text(pipeline(self.exchange), encoding="utf-8")
        line = [self.programs / "cryptopipeline", "run", manifest]
        self.pipeline = self.start("pipeline", line, DATABASE_URL=self.database.url)
        question = f"SELECT count(*) FROM information_schema.tables WHERE table_schema = '{SCHEMA}' AND table_name = 'whale_orders'"
        wait_until("the schema is there", 60, lambda: psql(self.database.url, question) == "1")
        wait_until("trades of every symbol are held", 60, lambda: self.number("SELECT count(*) FROM symbol_head WHERE trades_held > 0") == len(MARKET))

    def set_up_superset(self) -> None:
        self.port = free_port()
        self.mail = MailSink()
        self.cleanup.callback(self.mail.end)
        (self.out / "superset_config.py").write_text(self.configuration(), encoding="utf-8")
        (self.out / "dashboards").symlink_to(CHECKOUT / "dashboards")
        self.superset("db", "upgrade")
        who = ["--username", "admin", "--firstname", "Ada", "--lastname", "Min", "--email", "admin@example.com"]
        self.superset("fab", "create-admin", *who, "--password", self.admin_password)
        self.superset("init")

    def configuration(self) -> str:
        """What the page says, then what is so here alone."""
        home = f"http://127.0.0.1:{self.port}/"
        own = {
            "SECRET_KEY": secrets.token_hex(32),
            "SQLALCHEMY_DATABASE_URI": in_database(self.server, f"{self.name}_own").replace("postgres:", "postgresql+psycopg2:", 1),
            # It demands HTTPS.
            "TALISMAN_ENABLED": False,
            "CONTENT_SECURITY_POLICY_WARNING": False,
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": self.mail.port,
            "SMTP_STARTTLS": False,
            "SMTP_USER": "",
            "SMTP_PASSWORD": "",
            "SMTP_MAIL_FROM": "superset@example.com",
            "WEBDRIVER_BASEURL": home,
            "WEBDRIVER_BASEURL_USER_FRIENDLY": home,
            "WEBDRIVER_OPTION_ARGS": FLAGS,
        }
        return "\n".join([*page_blocks("python"), *(f"{name} = {value!r}" for name, value in own.items())]) + "\n"

    def spoil(self) -> None:
        """The stream leaves them out, and nobody answers a repairer."""
        simulator.command(self.exchange, "fail_rest", status=503, for_ms=REST_IS_AWAY_MS)
        (last,) = [row["last_played_id"] for row in simulator.status(self.exchange)["symbols"] if row["symbol"] == SPOILED]
        # Not the very next ones, which may be on their way.
        self.hole = last + 10, last + 9 + KEPT_BACK
        simulator.command(self.exchange, "withhold_trades", symbol=SPOILED, first_id=self.hole[0], last_id=self.hole[1])
        wait_until("trades from after the hole are held", 120, lambda: self.number(f"SELECT last_trade_id FROM symbol_head WHERE symbol = '{SPOILED}'") > self.hole[1])
        if self.holes() != [self.hole]:
            raise Failed(f"the holes are {self.holes()}, not {self.hole}")
        self.spoiled_at = time.monotonic()

    def make_role(self) -> None:
        """Under a name of our own."""
        (script,) = page_blocks("sql")
        for theirs, ours in ((r"\bsuperset\b", self.name), ("CHANGE-ME", self.role_password), (rf"DATABASE {SCHEMA}\b", f"DATABASE {self.name}")):
            script, count = re.subn(theirs, ours, script)
            if not count:
                raise Failed(f"the page's SQL has no {theirs}")
        psql(self.database.url, script)
        url = self.role_url("postgres")
        if psql(url, f"SELECT count(*) > 0 FROM {SCHEMA}.candles") != "t":
            raise Failed("the role reads no candles")
        for statement in (f"BEGIN READ WRITE; DELETE FROM {SCHEMA}.candles", f"SELECT * FROM {SCHEMA}.set_aside"):
            try:
                psql(url, statement)
            except subprocess.CalledProcessError as error:
                if "permission denied" not in error.stderr:
                    raise Failed(error.stderr) from error
            else:
                raise Failed(f"the role may {statement}")

    def role_url(self, kind: str) -> str:
        address = urllib.parse.urlsplit(self.server).netloc.rpartition("@")[2]
        return f"{kind}://{self.name}:{self.role_password}@{address}/{self.name}"

    def import_dashboard(self) -> None:
        bundle, imports, address = page_commands("Import")
        for line in (bundle, imports, address):
            self.page_line(line)
        with (self.out / "web.log").open("wb") as log:
            line = [self.tools / "gunicorn", "--worker-class", "gthread", "--threads", "8", "--timeout", "120", "--access-logfile", "-"]
            server = subprocess.Popen([*line, "--bind", f"127.0.0.1:{self.port}", "superset.app:create_app()"], stdout=log, stderr=log, env=self.environment(), cwd=self.out)
        self.cleanup.callback(demo.stop, server)
        wait_until("Superset answers", 180, lambda: self.answers(server))
        self.api = Api(f"http://127.0.0.1:{self.port}", "admin", self.admin_password)
        self.charts = {row["slice_name"]: row["id"] for row in self.api.get(f"dashboard/{DASHBOARD}/charts")["result"]}
        files = len(list((CHECKOUT / "dashboards/superset/export/charts").glob("*.yaml")))
        on_page = set(re.findall(r"(?m)^\| ([^|]+?) \| .* \| .* \|$", PAGE.read_text(encoding="utf-8"))) - {"chart"}
        if len(self.charts) != files or set(self.charts) != on_page:
            raise Failed(f"the dashboard has the charts {sorted(self.charts)}, of {files} files; the page names {sorted(on_page)}")
        print(f"   {files} charts", flush=True)

    def import_again(self) -> None:
        self.page_line(page_commands("Import")[1])
        self.data("Markets")

    def make_reports(self) -> None:
        (line,) = page_commands("The alert and the report")
        line = line.replace("https://superset.example.com", f"http://127.0.0.1:{self.port}")
        said = [self.page_line(line, SUPERSET_PASSWORD=self.admin_password) for _ in range(2)]
        if [text.count(word) for text, word in zip(said, (": made", ": up to date"))] != [2, 2]:
            raise Failed(f"it says {said}")
        self.reports = {row["type"]: row["id"] for row in self.api.get("report/")["result"]}
        if sorted(self.reports) != ["Alert", "Report"]:
            raise Failed(f"there are {self.reports}")

    def charts_tell_what_is_missing(self) -> None:
        missing = self.data("Missing trades")[0]["missing"]
        rows = {row["market"]: (row["missing_trades"], row["first_missing_id"]) for row in self.data("Markets")}
        if missing != KEPT_BACK or rows.pop(f"simulated:{SPOILED}") != (KEPT_BACK, self.hole[0]) or {count for count, _ in rows.values()} != {0}:
            raise Failed(f"{missing} trades are said to be missing, and by market beside {SPOILED} {rows}")

        def is_incomplete() -> bool:
            """Once the window that it begins in is over."""
            states = {row["state"] for row in self.data("Candles of 1m by what is known of them")}
            return "incomplete" in states and self.data("Completeness")[0]["complete_share"] < 1

        wait_until("a candle is said to be incomplete", 90, is_incomplete)

    def alert_fires(self) -> None:
        wait_until("the trades have been missing for long enough", 2 * GRACE_S, lambda: time.monotonic() - self.spoiled_at > GRACE_S)
        (mail,) = self.execute("Alert")
        print(f"   {time.monotonic() - self.spoiled_at:.0f} s after the trades were kept back", flush=True)
        text = mail.get_body(("html", "plain")).get_content()
        if "data not sound" not in mail["Subject"] or mail["To"] != "ops@example.com" or SPOILED not in text or str(KEPT_BACK) not in text:
            raise Failed(f"the mail is {mail['Subject']} to {mail['To']}:\n{text}")
        self.is_in_state("Alert", "Success", 1)

    def mend(self) -> None:
        simulator.command(self.exchange, "fail_rest", status=503, for_ms=0)
        self.wait_until_nothing_is_missing(120)
        if self.data("Missing trades")[0]["missing"] != 0:
            raise Failed("trades are still said to be missing")
        wait_until("every candle is said to be complete", 90, lambda: self.data("Completeness")[0]["complete_share"] == 1)

    def alert_ceases(self) -> None:
        """It is not even looked at while there is grace."""
        self.api.ask("PUT", f"report/{self.reports['Alert']}", {"grace_period": 1})
        if self.execute("Alert"):
            raise Failed("it wrote all the same")
        self.is_in_state("Alert", "Not triggered", 0)

    def look(self) -> None:
        browser = Browser(self.out, *WINDOW)
        try:
            browser.open(f"http://127.0.0.1:{self.port}/static/assets/images/favicon.png")
            browser.add_cookie("session", self.api.session())
            browser.open(f"http://127.0.0.1:{self.port}/superset/dashboard/{DASHBOARD}/")
            wait_until("every chart is drawn", 180, lambda: self.all_are_drawn(browser.run(LOOK)))
            asked = self.questions()
            wait_until("every chart has asked again", 120, lambda: self.questions() >= asked + len(self.charts))
            wait_until("every chart is drawn again", 60, lambda: self.all_are_drawn(browser.run(LOOK)))
            colours = browser.run(COLOURS, "Candles", [GREEN, RED, UNSAID])
            if colours != [GREEN, RED]:
                raise Failed(f"the candles have the colours {colours}")
            browser.picture(self.out / "superset.png")
        except Failed:
            browser.picture(self.out / "superset-failed.png")
            raise
        finally:
            browser.end()

    def all_are_drawn(self, seen: list[dict]) -> bool:
        if complaining := [f"{chart['name']}: {chart['complaints']}" for chart in seen if chart["complaints"]]:
            raise Failed("charts complain: " + "; ".join(complaining))
        return {chart["name"] for chart in seen} == set(self.charts) and all(chart["drawn"] and not chart["works"] for chart in seen)

    def questions(self) -> int:
        """How often a browser has asked for the data of a chart, and got it."""
        return len(re.findall(r'"POST /api/v1/chart/data[^"]*" 200 ', (self.out / "web.log").read_text(encoding="utf-8")))

    def report_comes(self) -> None:
        (mail,) = self.execute("Report")
        (picture,) = [part.get_content() for part in mail.walk() if part.get_content_type() == "image/png"]
        (self.out / "report.png").write_bytes(picture)
        size = png_size(picture)
        if size[0] < 1000 or size[1] < 1000:
            raise Failed(f"the picture has {size} pixels")
        self.is_in_state("Report", "Success", None)
        print(f"   {mail['Subject']}: {size[0]} by {size[1]} pixels", flush=True)

    def end_pipeline(self) -> None:
        self.pipeline.send_signal(signal.SIGINT)
        self.pipeline.wait(timeout=60)
        if self.pipeline.returncode != 0 or self.holes():
            raise Failed(f"it ended with {self.pipeline.returncode}, and the holes {self.holes()}")

    def compare(self) -> None:
        answers = {name: self.data(name) for name in self.charts}
        if silent := [name for name, rows in answers.items() if not rows]:
            raise Failed(f"charts without a row: {', '.join(silent)}")
        for row in answers["Markets"]:
            symbol = row["market"].partition(":")[2]
            (stored,) = self.database.query(
                f"SELECT trades_held, last_price, (SELECT count(*) FROM trades WHERE trades.symbol_id = head.symbol_id) AS trades,"
                f" (SELECT round(avg(price), 8) FROM (SELECT price FROM trades WHERE trades.symbol_id = head.symbol_id ORDER BY trade_id DESC LIMIT 20) AS last) AS average"
                f" FROM symbol_head AS head WHERE symbol = '{symbol}'"
            )
            expected = [stored[name] for name in ("trades", "trades_held", "last_price", "average")] + ["0"]
            found = [row[name] for name in ("trades_held", "trades_held", "last_price", "moving_average", "missing_trades")]
            self.must_equal(f"{symbol} in Markets", found, expected)
        self.must_equal("markets", [len(answers["Markets"])], [len(MARKET)])
        # Until the next minute ends nothing that is asked here changes: all candles began within the hour.
        candles = "FROM candles_by_symbol WHERE interval = '1m'"
        (totals,) = self.database.query(f"SELECT count(*) AS count, sum(trade_count) AS trades, sum(quote_volume) AS value, count(*) FILTER (WHERE complete) AS complete {candles}")
        states: dict[str, int] = {}
        for row in answers["Candles of 1m by what is known of them"]:
            states[row["state"]] = states.get(row["state"], 0) + row["count"]
        self.must_equal("candles by state", [sum(states.values()), states["complete"]], [totals["count"], totals["complete"]])
        if "incomplete" in states or not states.get("still open"):
            raise Failed(f"the candles are {states}")
        self.must_equal("completeness", [answers["Completeness"][0]["complete_share"]], [1])
        self.must_equal("value traded", [answers["Value traded"][0]["value_traded"]], [totals["value"]])
        self.must_equal("trades by minute", [sum(row["trades"] for row in answers["Trades"])], [self.number(f"SELECT sum(trade_count) {candles} AND complete")])
        whales = self.database.query("SELECT count(*) AS count, max(quote_quantity) AS largest FROM whale_orders_by_symbol")[0]
        self.must_equal("whale orders", [answers["Whale orders"][0]["count"], len(answers["Newest whale orders"])], [whales["count"], whales["count"]])
        (trades,) = self.database.query("SELECT max(quote_quantity) AS largest FROM whale_trades")
        self.must_equal("largest whale trade", [max(row["largest"] for row in answers["Whale trades by value"])], [trades["largest"]])
        for symbol in MARKET:
            self.candles_are_those_of_the_view(symbol)
        print(f"   {totals['count']} candles, {states}, {whales['count']} whale orders, {totals['trades']} trades", flush=True)

    def candles_are_those_of_the_view(self, symbol: str) -> None:
        """As the filter asks for one market: low and parts add up to the candle, in whichever order they are drawn."""
        chosen = {"col": "market", "op": "==", "val": f"simulated:{symbol}"}
        found = {}
        for row in self.data("Candles", chosen):
            low, below, rise, fall, above = (Decimal(str(row[f"candle_{part}"])) for part in ("base", "below", "rise", "fall", "above"))
            bottom, top = low + below, low + below + rise + fall
            found[int(row["open_time"] * 1000)] = (bottom, top + above, low, top) if not fall else (top, top + above, low, bottom)
        expected = self.database.query(
            f"SELECT (extract(epoch FROM open_time) * 1000000)::bigint AS time, open, high, low, close FROM candles_by_symbol WHERE interval = '1m' AND symbol = '{symbol}'"
        )
        for row in expected:
            self.must_equal(f"the candle of {symbol} at {row['time']}", found.pop(int(row["time"]), ()), [row[name] for name in ("open", "high", "low", "close")])
        if found:
            raise Failed(f"{symbol} has candles that are not there: {found}")

    def must_equal(self, what: str, found: list, expected: list) -> None:
        """Numbers that went through a float have some 15 digits."""
        pairs = list(zip(map(str, found), map(str, expected)))
        if len(found) != len(expected) or any(abs(Decimal(one) - Decimal(other)) > abs(Decimal(other)) * Decimal("1e-12") for one, other in pairs):
            raise Failed(f"{what}: {list(map(str, found))}, not {list(map(str, expected))}")

    def data(self, name: str, *filters: dict) -> list[dict]:
        """The rows of a chart, by the question that is stored with it, or with more filters."""
        question = json.loads(self.api.get(f"chart/{self.charts[name]}")["result"]["query_context"])
        if filters:
            for query in question["queries"]:
                query["filters"] += filters
            results = self.api.ask("POST", "chart/data", question | {"force": True})["result"]
        else:
            results = self.api.get(f"chart/{self.charts[name]}/data/?force=true")["result"]
        for result in results:
            if result["error"] or result["status"] != "success" or not result["data"]:
                raise Failed(f"{name}: {result['status']}, {result['error']}, {result['rowcount']} rows\n{result['query']}")
        return results[0]["data"]

    def execute(self, kind: str) -> list:
        """Runs the alert or the report: the mails that it wrote."""
        before = len(self.mail.messages)
        with (self.out / f"{kind.lower()}.log").open("ab") as log:
            line = [self.tools / "python", "-c", EXECUTE, str(self.reports[kind])]
            subprocess.run(line, check=True, stdout=log, stderr=log, env=self.environment(), cwd=self.out, timeout=LONGEST_COMMAND_S)
        return self.mail.messages[before:]

    def is_in_state(self, kind: str, state: str, value: int | None) -> None:
        report = self.api.get(f"report/{self.reports[kind]}")["result"]
        if (report["last_state"], report["last_value"]) != (state, value):
            raise Failed(f"{report['name']} is {report['last_state']} with {report['last_value']}, not {state} with {value}")

    def wait_until_nothing_is_missing(self, seconds: int) -> None:
        began = f"SELECT count(*) FROM symbol_head JOIN trade_ranges USING (symbol_id) WHERE first_time < now() - interval '{HISTORY_MINUTES - 1} minutes'"
        wait_until("nothing is missing", seconds, lambda: self.number(began) >= len(MARKET) and not self.holes())

    def holes(self) -> list[tuple[int, int]]:
        return [(int(row["first_id"]), int(row["last_id"])) for row in self.database.query("SELECT first_id, last_id FROM holes")]

    def number(self, question: str) -> int:
        ((value,),) = [row.values() for row in self.database.query(question)]
        return int(value)

    def page_line(self, line: str, **variables: str) -> str:
        """A line that a user types, where Superset is installed; the addresses are given by its variables."""
        print(f"   $ {line}", flush=True)
        environment = self.environment() | {"DATABASE_URI": self.role_url("postgresql+psycopg2")} | variables
        done = subprocess.run(["bash", "-c", line], env=environment, cwd=self.out, capture_output=True, text=True, timeout=LONGEST_COMMAND_S)
        if done.returncode != 0 or "Traceback" in done.stderr:
            raise Failed(f"{line} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def superset(self, *arguments: str) -> None:
        line = [self.tools / "superset", *arguments]
        subprocess.run(line, check=True, capture_output=True, text=True, env=self.environment(), cwd=self.out, timeout=LONGEST_COMMAND_S)

    def environment(self) -> dict[str, str]:
        """Superset means UTC where it says no zone. What its browser leaves behind is left in our folder."""
        own = {
            "SUPERSET_CONFIG_PATH": str(self.out / "superset_config.py"),
            "SUPERSET_HOME": str(self.out),
            "FLASK_APP": "superset.app:create_app()",
            "TZ": "UTC",
            "HOME": str(self.out),
            "TMPDIR": str(self.out),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PATH": f"{self.tools}:{os.environ['PATH']}",
        }
        return os.environ | own

    def start(self, name: str, line: list, **variables: str) -> subprocess.Popen:
        with (self.out / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(line, stdout=log, stderr=subprocess.STDOUT, env=os.environ | variables)
        self.cleanup.callback(demo.stop, process)
        return process

    def answers(self, server: subprocess.Popen) -> bool:
        if server.poll() is not None:
            raise Failed("Superset has ended")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5):
                return True
        except OSError:
            return False

    def show_what_happened(self) -> None:
        for path in sorted(self.out.glob("*.log")):
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            print(f"--- {path.name}, the last of {len(lines)} lines", *lines[-40:], sep="\n", flush=True)

    def clean_up(self) -> None:
        try:
            self.cleanup.close()
        finally:
            # It holds a password; the rest is what browsers leave behind.
            (self.out / "superset_config.py").unlink(missing_ok=True)
            for folder in (".cache", ".config", ".pki", "chromium", *self.out.glob("org.chromium*")):
                shutil.rmtree(self.out / folder, ignore_errors=True)


def pipeline(exchange: str) -> str:
    begin = (datetime.now(timezone.utc) - timedelta(minutes=HISTORY_MINUTES)).strftime("%Y-%m-%dT%H:%M:00Z")
    return f"""\
apiVersion: cryptopipeline.dev/v1alpha1
kind: CryptoPipeline
metadata:
  name: market
spec:
  sources:
  - name: simulated
    exchange: binance
    venue: simulated
    symbols: [{", ".join(MARKET)}]
    history: {{from: "{begin}"}}
    endpoints:
      websocket: ws://{exchange}
      rest: http://{exchange}
      dumps: http://{exchange}
  aggregation:
    intervals: [1m, 5m]
    movingAverage: {{trades: 20}}
    whaleTrade: {{minValue: "40000"}}
  database:
    connectionSecret: {{name: market-db}}
"""


def page_blocks(language: str) -> list[str]:
    """The page's blocks in a language."""
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"))


def page_commands(heading: str) -> list[str]:
    """The commands below a heading of the page."""
    (section,) = re.findall(rf"(?ms)^## {heading}\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"))
    return re.findall(r"(?m)^ {4}(\S.*)$", section)


def in_database(url: str, name: str) -> str:
    return urllib.parse.urlsplit(url)._replace(path=f"/{name}").geturl()


def psql(url: str, statements: str) -> str:
    return command("psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "-v", "ON_ERROR_STOP=1", "-c", statements, url).strip()


def png_size(data: bytes) -> tuple[int, int]:
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        raise Failed("the picture is no PNG")
    return struct.unpack(">II", data[16:24])


if __name__ == "__main__":
    sys.exit(main())
