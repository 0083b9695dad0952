"""A database that restarts, is away, cuts a commit, or is set back."""

import time
from random import Random

from steps import wait_until

from ..proxy import Cut
from ..rig import Pipeline
from . import LONGEST_EFFECT_S, Fault, NoEffect
from .service import faults_of


def network_cut(pipeline: Pipeline, random: Random) -> str:
    """As soon as there are any: after another fault there may be none for a while."""
    proxy, seconds = pipeline.proxy, random.uniform(0.5, 3.0)
    wait_until("somebody is connected to the database", LONGEST_EFFECT_S, lambda: proxy.connections() > 0)
    cut = proxy.refuse(True)
    time.sleep(seconds)
    proxy.refuse(False)
    if not cut:
        raise NoEffect("nobody was connected to the database")
    return f"{cut} connections were cut, and new ones refused for {seconds:.1f} s"


def cut_commits(cut: Cut):
    def run(pipeline: Pipeline, random: Random) -> str:
        proxy, count = pipeline.proxy, random.randint(1, 5)
        before = proxy.done[cut]
        proxy.cut_next_commits(cut, count)
        try:
            wait_until(f"{count} commits are cut", LONGEST_EFFECT_S, lambda: proxy.done[cut] >= before + count)
        finally:
            proxy.forget_wanted_cuts()
        return f"{count} connections were cut {cut.value}"

    return run


def set_back(pipeline: Pipeline, random: Random) -> str:
    """To a state of some seconds before: rows, ledger and positions go back together."""
    pipeline.database.keep_state()
    kept = pipeline.trades_held()
    time.sleep(random.uniform(2.0, 5.0))
    # Another fault may keep trades from coming.
    wait_until("trades are committed after the copy", 90, lambda: pipeline.trades_held() > kept)
    newest = pipeline.trades_held()
    pipeline.database.set_back()
    return f"the database was set back from {newest} to about {kept} trades"


FAULTS = [
    *faults_of("database", lambda pipeline: pipeline.database),
    Fault("connections to the database cut", "database", network_cut),
    Fault("cut before the commit", "database", cut_commits(Cut.BEFORE_COMMIT)),
    Fault("cut after the commit", "database", cut_commits(Cut.AFTER_COMMIT)),
    Fault("database set back", "database", set_back),
]
