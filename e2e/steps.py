"""What the end to end tests share: steps that are counted, commands, and waiting on conditions."""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable

CHECKOUT = Path(__file__).resolve().parent.parent
SWITCHED_PROGRAMS = "where the programs are, built with the feature test-switches"


def clean_up_when_terminated() -> None:
    """Who is asked to end leaves by way of every `finally`."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def program_arguments(parser: argparse.ArgumentParser, programs: str = "where the programs are") -> argparse.Namespace:
    """Reads the command line of a test that starts programs: it gets where they are, and a folder that is emptied."""
    parser.add_argument("--bin", type=Path, required=True, help=programs)
    parser.add_argument("--out", type=Path, required=True, help="a folder that is emptied first")
    arguments = parser.parse_args()
    # Ended from outside, it must end its programs too.
    clean_up_when_terminated()
    shutil.rmtree(arguments.out, ignore_errors=True)
    arguments.out.mkdir(parents=True)
    arguments.bin, arguments.out = arguments.bin.resolve(), arguments.out.resolve()
    return arguments


class Failed(Exception):
    """A check that does not hold."""


class Test:
    """Checks by name, one after the other. Every step waits on conditions; a step that is done is counted."""

    def __init__(self) -> None:
        self.passed = 0

    def run(self) -> None:
        """All the steps."""
        raise NotImplementedError

    def show_what_happened(self) -> None:
        """For whoever reads a failure."""

    def clean_up(self) -> None:
        """Ends what the test started, passed or not."""

    def step(self, name: str, check: Callable[[], None]) -> None:
        began = time.monotonic()
        print(f"== {name} ...", flush=True)
        check()
        self.passed += 1
        print(f"ok {name} ({time.monotonic() - began:.0f} s)", flush=True)

    def verdict(self, title: str) -> int:
        """Runs to the end or to the first failure, and says which; the exit code."""
        clean_up_when_terminated()
        try:
            self.run()
        except (Failed, subprocess.SubprocessError) as failure:
            self.show_what_happened()
            print(f"FAILED {failure}", flush=True)
            for output in (getattr(failure, "stdout", None), getattr(failure, "stderr", None)):
                print(output.decode() if isinstance(output, bytes) else output or "", flush=True)
            print(f"{title}: {self.passed} passed, 1 failed", flush=True)
            return 1
        finally:
            self.clean_up()
        print(f"{title}: {self.passed} passed, 0 failed", flush=True)
        return 0


def command(*arguments: str, stdin: str | None = None) -> str:
    done = subprocess.run(arguments, input=stdin, check=True, capture_output=True, text=True, timeout=300)
    return done.stdout


def broker_tool(*arguments: str) -> str:
    """A class of Kafka's own command line programs, at the testbed's broker."""
    return command(str(CHECKOUT / "testbed/parts/kafka"), "tool", *arguments)


def wait_until(what: str, seconds: int, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise Failed(f"within {seconds} s it did not happen that {what}")
        time.sleep(0.5)


def apply_crd(kubectl: Callable[..., str]) -> None:
    """Applies our definition and waits until the API server serves it. Its conditions are null for a moment, which
    `kubectl wait` takes for an error."""
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CHECKOUT / "crds/cryptopipelines.yaml"))

    def is_established() -> bool:
        definition = json.loads(kubectl("get", "crd", "cryptopipelines.cryptopipeline.dev", "-o", "json"))
        conditions = definition.get("status", {}).get("conditions") or []
        return any(condition["type"] == "Established" and condition["status"] == "True" for condition in conditions)

    wait_until("the definition of CryptoPipelines is established", 30, is_established)
