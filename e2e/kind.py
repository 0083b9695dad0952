#!/usr/bin/env python3
"""The main job on a real cluster: helm install, kubectl apply of the quickstart, recorded trades, growth, deaths.

Needs the testbed (eval "$(testbed/up all)"), the image (target/image/cryptopipeline.tar), the simulator's binary and
the recordings:  kind.py --bin FOLDER --recordings FOLDER
"""

import argparse
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

from cluster import Namespace, load_image, use_testbed
from judge.indicators import Indicators
from judge.judge import judge_everything
from judge.mysql import MySql
from judge.postgres import Postgres
from judge.snapshot import EVERYTHING
from judge.trades import Trade, read_trades, symbol_of
from judge.truth import truths
from steps import CHECKOUT, Failed, Test, command, wait_until

RECORDINGS = ["TRXUSDT-trades-2025-03-04-part.csv.gz", "binance-spot-BTCUSDT-aggTrades-2026-01-01.csv.gz"]
MARKET = Namespace("market")
kubectl = MARKET.kubectl
PIPELINE = "quickstart"
# What is said of the recorded trades, by the definitions of the system that this one replaces.
SAID = Indicators(moving_average=20, whale_values={"USDT": "100000"})
# The same symbols' prices, by stream and by asking, into MariaDB.
PRICES = """
apiVersion: cryptopipeline.dev/v1alpha1
kind: CryptoPipeline
metadata: {{name: prices}}
spec:
  deletionPolicy: Delete
  sources:
  - {{name: stream, exchange: binance, venue: simulated, feed: tickers, symbols: [{symbols}], endpoints: &sim {{websocket: "ws://exchange-sim:9080", rest: "http://exchange-sim:9080"}}}}
  - {{name: poll, exchange: binance, venue: polled, feed: tickers, transport: rest, symbols: [{symbols}], endpoints: *sim}}
  kafka: {{bootstrapServers: "kafka:9092", topic: {{name: prices, partitions: 2}}}}
  database: {{connectionSecret: {{name: mysql}}, schema: prices}}
"""
pods, ready_pods = partial(MARKET.pod_names, PIPELINE), partial(MARKET.ready_pod_names, PIPELINE)
SIMULATOR_PORT = 9080
# 48 minutes of TRXUSDT in four: long enough for growth and deaths while trades flow.
SPEED = 12


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--recordings", type=Path, required=True)
    arguments = parser.parse_args()
    files = [arguments.recordings / name for name in RECORDINGS]
    use_testbed()
    test = KindTest(arguments.bin, files, {symbol_of(path): sorted(read_trades(path)) for path in files})
    return test.verdict("end to end on kind")


class KindTest(Test):
    """One run."""

    def __init__(self, programs: Path, files: list[Path], logs: dict[str, list[Trade]]) -> None:
        super().__init__()
        self.programs = programs
        self.files = files
        self.logs = logs
        self.simulator: subprocess.Popen | None = None
        self.simulator_log = None
        self.host = os.environ["TESTBED_HOST_FOR_PODS"]
        self.schema = "market"
        self.database = Postgres(os.environ["POSTGRES_URL"], self.schema)
        self.prices = MySql(os.environ["MYSQL_URL"], "prices")

    def run(self) -> None:
        self.step("the image is in the cluster", load_image)
        self.step("helm installs the operator", MARKET.install_chart)
        self.step("helm test passes", MARKET.test_chart)
        self.step("kubectl applies the quickstart and it becomes ready", self.apply_quickstart)
        self.step("a third of the recording is in the database", lambda: self.wait_for_share(0.33))
        self.step("tickers by stream and by asking are held in MariaDB", self.store_prices)
        self.step("3 partitions grow to 6 and the aggregators follow", self.grow)
        self.step("what was played is there, each trade once, every claim true", lambda: self.judge(may_miss=True))
        self.step("nothing was missed while partitions grew", self.nothing_is_missing)
        self.step("a deleted aggregator pod is replaced", lambda: self.delete_pod("aggregator"))
        self.step("trades go on", lambda: self.wait_for_share(0.6))
        self.step("still nothing is missing", self.nothing_is_missing)
        self.step("repair is switched off, and its pod goes", lambda: self.switch_repair(False))
        self.step("a deleted producer pod is replaced", lambda: self.delete_pod("producer"))
        self.step("the recording is played to its end and committed", self.wait_for_end)
        self.step("every trade is there once or named as missing, every claim true", lambda: self.judge(may_miss=True))
        self.step("what was missed while no producer ran is a hole with its ids", self.hole_is_told)
        self.step("repair is switched on, and its pod comes", lambda: self.switch_repair(True))
        self.step("what was missed is repaired", self.repaired)
        self.step("every trade is there once, every candle equal", lambda: self.judge(may_miss=False))
        self.step("the command line reads the cluster's pipeline by its name", self.command_line)
        self.step("helm uninstalls and installs again, pipeline and pods stay", self.reinstall)
        self.step("the deleted pipeline's objects are gone", self.delete_pipeline)
        self.step("the chart and its definition go", MARKET.leave)

    def apply_quickstart(self) -> None:
        """The example as it is, but for the symbols and for what is said of their trades; its addresses lead to the testbed's
        services."""
        MARKET.lead_to_testbed(SIMULATOR_PORT)
        self.start_simulator()
        example = (CHECKOUT / "examples/quickstart.yaml").read_text(encoding="utf-8")
        intervals = "    intervals: [1m, 5m]\n"
        for ours, others in {"[BTCUSDT, ETHUSDT, SOLUSDT, BNBUSDT, ADAUSDT]": f"[{', '.join(self.logs)}]", intervals: intervals + SAID.manifest_lines()}.items():
            if example.count(ours) != 1:
                raise Failed(f"examples/quickstart.yaml has no {ours!r}, or more than one")
            example = example.replace(ours, others)
        kubectl("apply", "-f", "-", stdin=example)
        kubectl("wait", "--for=condition=Ready", f"cpl/{PIPELINE}", "--timeout=180s")

    def start_simulator(self) -> None:
        self.simulator_log = (CHECKOUT / "target/e2e-exchange-sim.log").open("wb")
        arguments = ["--listen", f"{self.host}:{SIMULATOR_PORT}", "--speed", str(SPEED), "--start", "recorded", "--wait"]
        program = self.programs / "exchange-sim"
        self.simulator = subprocess.Popen([program, *arguments, *self.files], stdout=self.simulator_log, stderr=subprocess.STDOUT)

    def wait_for_share(self, share: float) -> None:
        wanted = int(len(self.logs["TRXUSDT"]) * share) + len(self.logs["BTCUSDT"])
        wait_until(f"{wanted} trades are held", 300, lambda: self.database.trades_held() >= wanted)

    def store_prices(self) -> None:
        MARKET.apply([{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mysql"}, "stringData": {"uri": os.environ["MYSQL_URL_PODS"]}}])
        kubectl("apply", "-f", "-", stdin=PRICES.format(symbols=", ".join(self.logs)))
        kubectl("wait", "--for=condition=Ready", "cpl/prices", "--timeout=180s")
        wanted = {(venue, symbol) for venue in ("simulated", "polled") for symbol in self.logs}
        held = "SELECT venue, symbol FROM latest_tickers WHERE samples_held >= 5"
        wait_until("five samples of each are held", 120, lambda: {(row["venue"], row["symbol"]) for row in self.prices.query(held)} == wanted)
        said = MARKET.conditions("prices")["DataContinuous"]
        if (said["status"], said["reason"]) != ("Unknown", "NotApplicable"):
            raise Failed(f"tickers have no ids, and DataContinuous is {said}")
        kubectl("delete", "cpl", "prices", "--timeout=120s")
        MARKET.wait_for_the_end_of("prices")
        if self.prices.exists():
            raise Failed("the pipeline is deleted, and its schema is not")

    def grow(self) -> None:
        patch = {"spec": {"kafka": {"topic": {"partitions": 6}}}}
        kubectl("patch", "cpl", PIPELINE, "--type=merge", "-p", json.dumps(patch))
        deployment = f"deployment/{PIPELINE}-aggregator"
        kubectl("wait", "--for=jsonpath={.status.partitions}=6", f"cpl/{PIPELINE}", "--timeout=120s")
        kubectl("wait", "--for=jsonpath={.spec.replicas}=6", deployment, "--timeout=60s")
        kubectl("rollout", "status", deployment, "--timeout=180s")
        partitions = "SELECT count(*) AS count FROM partition_offsets"
        wait_until("all 6 partitions are assigned", 120, lambda: self.database.query(partitions)[0]["count"] == "6")

    def delete_pod(self, role: str) -> None:
        before = pods(role)
        kubectl("delete", "pod", sorted(before)[0], "--wait=false")
        wait_until(f"another {role} pod is ready", 120, lambda: bool(ready_pods(role) - before))
        wait_until(f"the old {role} pod is gone", 120, lambda: not (pods(role) & {sorted(before)[0]}))

    def wait_for_end(self) -> None:
        last_id = max(trade.trade_id for trade in self.logs["TRXUSDT"])
        last = "SELECT max(last_trade_id) AS id FROM symbol_head WHERE symbol = 'TRXUSDT'"
        wait_until("the last trade is held", 420, lambda: self.database.query(last)[0]["id"] == str(last_id))

    def judge(self, may_miss: bool) -> None:
        verdict = judge_everything(self.database.snapshot(*EVERYTHING), truths(self.logs), may_miss, said=SAID)
        print(f"   {self.database.trades_held()} trades held; {verdict}", flush=True)
        # Trades not yet played are missing for the judge, and no problem of the pipeline.
        if not verdict.passed():
            raise Failed("\n".join(verdict.problems[:20]) or "no candle claims to be complete")

    def missing(self) -> int:
        """Ids between the first and the last held one that are not held."""
        spans = """SELECT coalesce(sum(span - held), 0) AS missing FROM (
            SELECT max(last_id) - min(first_id) + 1 AS span, sum(last_id - first_id + 1) AS held
            FROM trade_ranges GROUP BY symbol_id) AS symbols"""
        return int(self.database.query(spans)[0]["missing"])

    def nothing_is_missing(self) -> None:
        # After growth or a rebalance an older id may still wait in another partition.
        wait_until("no id is missing", 60, lambda: self.missing() == 0)

    def hole_is_told(self) -> None:
        missing = self.missing()
        if missing == 0:
            raise Failed("nothing was missed while no producer ran: the test proves nothing")
        print(f"   {missing} trades were missed", flush=True)
        kubectl("wait", "--for=condition=DataContinuous=False", f"cpl/{PIPELINE}", "--timeout=120s")
        first = self.database.query("SELECT min(last_id) + 1 AS id FROM trade_ranges JOIN symbol_head USING (symbol_id) WHERE symbol = 'TRXUSDT'")[0]["id"]
        message = MARKET.conditions(PIPELINE)["DataContinuous"]["message"]
        if str(first) not in message:
            raise Failed(f"the hole begins at {first}, DataContinuous says: {message}")

    def switch_repair(self, enabled: bool) -> None:
        kubectl("patch", "cpl", PIPELINE, "--type=merge", "-p", json.dumps({"spec": {"repair": {"enabled": enabled}}}))
        wait_until("the repairer is as asked for", 60, lambda: bool(ready_pods("repairer")) if enabled else not MARKET.pods_of(PIPELINE, "repairer"))

    def repaired(self) -> None:
        wait_until("every missing trade is repaired", 120, lambda: self.missing() == 0)
        kubectl("wait", "--for=condition=DataContinuous=True", f"cpl/{PIPELINE}", "--timeout=180s")

    def command_line(self) -> None:
        """By the resource and its Secret, whose address can be reached from here too."""
        def read(verb: str) -> dict:
            return json.loads(command(str(self.programs / "cryptopipeline"), verb, "-n", MARKET.name, PIPELINE, "-o", "json"))

        gaps, verified = read("gaps"), read("verify")
        if gaps["missing"] != 0 or {row["symbol"] for row in gaps["symbols"]} != set(self.logs):
            raise Failed(f"gaps says {gaps}")
        if any(row["ours_wrong"] for row in verified["checks"]):
            raise Failed(f"verify says {verified}")
        checked = sum(row["equal"] for row in verified["checks"])
        print(f"   {checked} candles equal the exchange's own", flush=True)

    def reinstall(self) -> None:
        before = pods("aggregator") | pods("producer")
        MARKET.uninstall_chart()
        if kubectl("get", "cpl", PIPELINE, "-o", "name").strip() == "" or not before <= pods("aggregator") | pods("producer"):
            raise Failed("the pipeline or its pods went with the chart")
        MARKET.install_chart()
        kubectl("wait", "--for=condition=Ready", f"cpl/{PIPELINE}", "--timeout=180s")
        if before != pods("aggregator") | pods("producer"):
            raise Failed("the new operator replaced pods that nothing had changed for")

    def delete_pipeline(self) -> None:
        kubectl("delete", "cpl", PIPELINE, "--timeout=60s")
        MARKET.wait_for_the_end_of(PIPELINE)

    def show_what_happened(self) -> None:
        MARKET.show_what_happened()

    def clean_up(self) -> None:
        self.database.close()
        if self.simulator:
            self.simulator.terminate()
            self.simulator.wait(timeout=30)
        if self.simulator_log:
            self.simulator_log.close()


if __name__ == "__main__":
    sys.exit(main())
