"""One round: a pipeline is made, trades flow, things go wrong, and at the end everything must be there and true."""

import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from judge.judge import judge_everything
from judge.rows import judge_offsets
from judge.snapshot import EVERYTHING, OFFSETS, Unreachable
from judge.truth import truths
from judge.verdict import Verdict
from steps import Failed

from .claims import judge_samples
from .machine import Machine
from .rig import Pipeline, Rig
from .schedule import Planned, Schedule

# How long after the last trade and the last fault a pipeline may take to be whole.
LONGEST_SETTLING_S = 180
LONGEST_FAULTS_S = 480


@dataclass
class Outcome:
    """What a round has shown."""

    trades: int = 0
    claims: int = 0
    samples: int = 0
    missing: int = 0
    problems: list[str] = field(default_factory=list)
    false_claims: list[str] = field(default_factory=list)
    # What could not be tested, and why.
    failures: list[str] = field(default_factory=list)
    evidence: list[tuple[str, str]] = field(default_factory=list)
    settled_in_s: float = 0.0

    def passed(self) -> bool:
        return not (self.problems or self.false_claims or self.failures or self.missing)


def play(rig: Rig, schedule: Schedule, folder: Path, settling_s: int = LONGEST_SETTLING_S) -> Outcome:
    """Plays a round to its end, whatever happens; it has so long to become whole."""
    outcome = Outcome()
    kind = Machine if schedule.on_machine else Pipeline
    pipeline = kind(rig, folder, schedule.seed, schedule.variant)
    try:
        pipeline.begin()
        _make_faults(pipeline, schedule.faults, outcome)
        pipeline.exchange.end_trading()
        begun = time.monotonic()
        wait_until_whole(pipeline, outcome, settling_s)
        outcome.settled_in_s = time.monotonic() - begun
        pipeline.check()
        pipeline.end()
        judge(pipeline, outcome)
    except (Failed, Unreachable) as failure:
        outcome.failures.append(str(failure))
    finally:
        pipeline.end()
        pipeline.remove()
    return outcome


def _make_faults(pipeline: Pipeline | Machine, faults: list[Planned], outcome: Outcome) -> None:
    begun = time.monotonic()
    parts: dict[str, threading.Lock] = defaultdict(threading.Lock)
    locks = {planned.fault.part: parts[planned.fault.part] for planned in faults}

    def make(planned: Planned) -> None:
        time.sleep(max(0.0, begun + planned.at_s - time.monotonic()))
        with locks[planned.fault.part]:
            try:
                seen = planned.fault.run(pipeline, Random(planned.seed))
                outcome.evidence.append((planned.fault.name, seen))
            except (Failed, Unreachable, OSError) as failure:
                outcome.failures.append(f"{planned.fault.name}: {failure}")

    threads = [threading.Thread(target=make, args=(planned,), daemon=True) for planned in faults]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=LONGEST_FAULTS_S)
        if thread.is_alive():
            raise Failed("a fault does not end")


def wait_until_whole(pipeline: Pipeline | Machine, outcome: Outcome, settling_s: int = LONGEST_SETTLING_S) -> None:
    """Until every trade is held, and the resource says that nothing is missing."""
    deadline = time.monotonic() + settling_s
    held = played = 0
    while time.monotonic() < deadline:
        pipeline.check()
        played, held = pipeline.exchange.trades_played(), pipeline.trades_held()
        if held >= played and pipeline.says_continuous():
            return
        time.sleep(0.5)
    outcome.missing = max(0, played - held)
    outcome.failures.append(f"it did not become whole: {held} of {played} trades are held, and it is {'' if pipeline.says_continuous() else 'not '}said to be continuous")


def judge(pipeline: Pipeline | Machine, outcome: Outcome) -> None:
    """Everything that is stored, and every sample, of a pipeline that has ended; ends the exchange."""
    true = truths(pipeline.exchange.end())
    everything = pipeline.schema.snapshot(*EVERYTHING)
    verdict = judge_everything(everything, true, bool(outcome.missing), pipeline.variant.store_trades, pipeline.variant.said())
    if pipeline.topic_can_be_read:
        judge_offsets(verdict, everything[OFFSETS], pipeline.records)
    pipeline.schema.close()
    claimed: Verdict = judge_samples(pipeline.sampler, true, pipeline.variant.store_trades)
    outcome.problems, outcome.false_claims = verdict.problems, claimed.problems
    outcome.trades = verdict.trades
    outcome.claims = claimed.complete
    outcome.samples = sum(1 for sample in pipeline.sampler.samples if sample.rows is not None)
    if not claimed.complete:
        outcome.failures.append("nothing was ever claimed")
