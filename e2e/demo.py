#!/usr/bin/env python3
"""The main job on this machine: simulated exchange -> cryptopipeline run -> SQLite, judged against the played log.

usage: demo.py --bin FOLDER --out FOLDER [--trades FILE]

Plays a generated market of five symbols, or a recording, and ends with a table of the last candles and a verdict.
Exit 0 where every complete candle equals the exchange's and every window that the log proves is complete.
"""

import argparse
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import simulator
from judge.indicators import NOTHING_SAID, Indicators
from judge.trades import Trade, read_trades, symbol_of
from judge.truth import truths
from judge.windows import judge_printed

# Half an hour of market in half a minute.
GENERATED = ["--seed", "1", "--duration", "30m", "--speed", "60", "--start", "recorded", "--wait"]
RECORDED = ["--speed", "0", "--start", "recorded", "--wait"]
INTERVALS = "[1m, 5m]"
LONGEST_RUN_S = 600


def main() -> int:
    arguments = parse_arguments()
    out = arguments.out
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    played = out / "played"
    process = start_simulator(arguments, played)
    try:
        address = wait_for_address(process, out / "exchange-sim.log")
        symbols = sorted(simulator.status(address)["symbols"], key=lambda row: row["symbol"])
        manifest = out / "pipeline.yaml"
        manifest.write_text(pipeline([row["symbol"] for row in symbols], address), encoding="utf-8")
        print(f"== cryptopipeline run {manifest}", flush=True)
        run = [arguments.bin / "cryptopipeline", "run", manifest, "--until-idle", "5s"]
        subprocess.run(run, check=True, timeout=LONGEST_RUN_S)
    finally:
        stop(process)
    return judge(arguments.bin / "cryptopipeline", manifest, read_logs(played))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, required=True, help="where exchange-sim and cryptopipeline are")
    parser.add_argument("--out", type=Path, required=True, help="a folder that is emptied first")
    parser.add_argument("--trades", type=Path, help="a recording to play: SYMBOL-trades-x.csv.gz or SYMBOL-aggTrades-x.csv.gz")
    arguments = parser.parse_args()
    if arguments.trades is not None and not arguments.trades.is_file():
        parser.error(f"--trades: there is no file {arguments.trades}")
    return arguments


def start_simulator(arguments: argparse.Namespace, played: Path) -> subprocess.Popen:
    what = RECORDED + [str(arguments.trades)] if arguments.trades else GENERATED
    command = [arguments.bin / "exchange-sim", "--listen", "127.0.0.1:0", "--write-log", played, *what]
    with (arguments.out / "exchange-sim.log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


def wait_for_address(simulator: subprocess.Popen, log: Path) -> str:
    """The address that the simulator prints once it listens."""
    for _ in range(600):
        match = re.search(r"127\.0\.0\.1:(\d+)", log.read_text(encoding="utf-8", errors="replace"))
        if match:
            return match.group(0)
        if simulator.poll() is not None:
            break
        time.sleep(0.1)
    raise SystemExit(f"the exchange simulator did not start:\n{log.read_text(encoding='utf-8', errors='replace')}")


def pipeline(symbols: list[str], address: str, intervals: str = INTERVALS, said: Indicators = NOTHING_SAID) -> str:
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
    symbols: [{", ".join(symbols)}]
    endpoints:
      websocket: ws://{address}
      rest: http://{address}
  aggregation:
    intervals: {intervals}
{said.manifest_lines()}"""


def stop(process: subprocess.Popen, seconds: int = 30) -> None:
    """Ends a program of ours as Kubernetes would: the simulator then writes the rest of its log."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def read_logs(played: Path) -> dict[str, list[Trade]]:
    """The trades that the simulator says it has played, by symbol, in the order of play."""
    logs: dict[str, list[Trade]] = {}
    for path in sorted(played.glob("*-trades-*.csv")):
        logs.setdefault(symbol_of(path), []).extend(read_trades(path))
    return logs


def judge(command: Path, manifest: Path, logs: dict[str, list[Trade]]) -> int:
    subprocess.run([command, "candles", manifest, "--interval", "1m", "--last", "3"], check=True)
    printed = subprocess.run([command, "candles", manifest, "-o", "csv"], check=True, capture_output=True, text=True)
    verdict = judge_printed(printed.stdout, truths(logs))
    for problem in verdict.problems[:20]:
        print(f"WRONG {problem}")
    played = sum(len(trades) for trades in logs.values())
    print(f"{played} trades of {len(logs)} symbols played")
    print(verdict)
    return 0 if verdict.passed() else 1


if __name__ == "__main__":
    sys.exit(main())
