"""A campaign: searches that faults fall on, each search run again by the same command until it is complete."""

from __future__ import annotations

import random
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.chaos.faults import FAULTS
from tests.chaos.invariants import violations
from tests.chaos.stores import COMPLETE, Search, Stores
from tsbench.studies.specification import stored_fingerprint

__all__ = ["Campaign", "Injection", "run_campaign", "schedule"]

FAULTS_A_CAMPAIGN = 6
TRIALS, EPOCHS = 12, 60
STALLED = 300.0
"""Seconds within which a search must have started or ended a trial, or have ended itself."""

LONGEST = 3600.0
"""Seconds that one search may take with all its calls, whatever else runs on the machine."""

ENDING = 120.0
"""Seconds within which a command must have ended that a fault was to end."""

MAX_MISSES = 3
"""How often in a campaign a fault is tried again as the moment for it did not come."""

ORDERLY = (143, 129)
"""Exit codes after which nothing may be left running."""


@dataclass(frozen=True)
class Injection:
    """A fault of a campaign.

    Attributes:
        fault: its name.
        brought: whether it was brought about; the moment for it may not have come.
        code: exit code of the search that it ended; None if the search went on.
    """

    fault: str
    brought: bool
    code: int | None = None


@dataclass
class Campaign:
    """What became of the searches of a campaign.

    Attributes:
        injections: the faults in their order.
        searches: that were run to their ends.
        calls: of the command.
        requested: trials of all searches.
        complete: of those.
        lost: attempts that were marked as failed and begun again.
        problems: violations of invariants.
        seconds: that it took.
        misses: attempts at a fault for which the moment did not come, and which were repeated.
    """

    injections: list[Injection] = field(default_factory=list)
    searches: int = 0
    calls: int = 0
    requested: int = 0
    complete: int = 0
    lost: int = 0
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0
    misses: int = 0

    def note_end(self, code: int) -> None:
        """Ascribes the end of a search to the latest fault that may have led to it, as an outage is waited for."""
        for place, injection in reversed(list(enumerate(self.injections))):
            if injection.brought and code in FAULTS[injection.fault].codes:
                self.injections[place] = replace(injection, code=code)
                return


def schedule(seed: int, count: int, kinds: Sequence[str]) -> list[tuple[str, list[str]]]:
    """The faults by campaign, each with the stores that it needs; every fault comes once before one comes again.

    Args:
        seed: of the order.
        count: faults in all.
        kinds: of stores that there are.
    """
    chance = random.Random(seed)
    by_kind: dict[str, list[str]] = {kind: [] for kind in kinds}
    bag: list[str] = []
    while count > 0:
        if not bag:
            bag = [name for name, fault in FAULTS.items() if fault.stores in ("any", *kinds)]
            chance.shuffle(bag)
        name = bag.pop()
        kind = FAULTS[name].stores if FAULTS[name].stores != "any" else chance.choice(list(kinds))
        by_kind[kind].append(name)
        count -= 1
    campaigns = [
        (kind, names[first : first + FAULTS_A_CAMPAIGN])
        for kind, names in by_kind.items()
        for first in range(0, len(names), FAULTS_A_CAMPAIGN)
    ]
    chance.shuffle(campaigns)  # a run that is ended early has some of each kind
    return campaigns


def run_campaign(stores: Stores, faults: Sequence[str], seed: str, report: Callable[[str], None]) -> Campaign:
    """Runs searches until all faults have fallen, and checks each one when it is complete.

    Args:
        stores: that the searches use.
        faults: names in their order.
        seed: of moments and victims.
        report: called with a sentence now and then.
    """
    campaign, pending, chance = Campaign(), deque(faults), random.Random(seed)
    began = time.monotonic()
    while pending and not campaign.problems:
        search = stores.begin(TRIALS, EPOCHS)
        try:
            _run(search, pending, chance, campaign, report)
        except subprocess.TimeoutExpired as expired:
            done = list(search.states().values()).count(COMPLETE)
            campaign.problems.append(f"{expired}, with {done} of {search.trials} trials complete")
            report(search.stacks())
        finally:
            if not search.ended:
                search.kill()
                search.finish(ENDING)
        campaign.searches += 1
        campaign.calls += search.calls
        campaign.requested += search.trials
        if not campaign.problems:  # it was not killed above
            _check(search, campaign)
        report(f"{campaign.searches} searches, {search.calls} calls of the last, {campaign.problems or 'no violation'}")
        if not campaign.problems:
            search.remove()
    campaign.seconds = time.monotonic() - began
    return campaign


def _run(
    search: Search, pending: deque[str], chance: random.Random, campaign: Campaign, report: Callable[[str], None]
) -> None:
    """Calls the command until it ends by itself with all done, while faults fall on it."""
    deadline = time.monotonic() + LONGEST
    search.start()
    allowed: set[int] = set()  # exit codes that the faults of this call may lead to
    seen: object = None
    while time.monotonic() < deadline:
        progress = (search.calls, len(pending), dict(search.states()))
        if progress != seen:
            seen, stalled = progress, time.monotonic() + STALLED
        if time.monotonic() > stalled:
            raise subprocess.TimeoutExpired("a trial's beginning or end", STALLED)
        if search.ended:
            code, said = search.finish(ENDING)
            if code in allowed:
                campaign.note_end(code)
            _check_end(search, code, said, allowed, campaign)
            if code == 0 or campaign.problems:
                return
            search.start()
            allowed.clear()
        elif pending and search.at_work():
            _bring(search, pending, chance, campaign, allowed, report)
        else:
            time.sleep(0.2)
    raise subprocess.TimeoutExpired("tsbench search", LONGEST)


def _bring(
    search: Search,
    pending: deque[str],
    chance: random.Random,
    campaign: Campaign,
    allowed: set[int],
    report: Callable[[str], None],
) -> None:
    name = pending.popleft()
    fault = FAULTS[name]
    brought = fault.bring(search, chance)
    code: int | None = None
    if brought:
        allowed.update(fault.codes)
        if fault.codes and fault.codes != (1,):  # an outage may be waited for
            assert search.process is not None
            code = search.process.wait(ENDING)
            if code == 0:
                campaign.problems.append(f"the search did not heed {name}")
        else:
            time.sleep(chance.uniform(0.0, 2.0))
            code = search.process.poll() if search.process is not None else None
    elif campaign.misses < MAX_MISSES:
        campaign.misses += 1
        pending.appendleft(name)
        return
    campaign.injections.append(Injection(name, brought, code))
    report(f"{name}: {'the moment did not come' if not brought else 'went on' if code is None else f'ended, {code}'}")


def _check_end(search: Search, code: int, said: str, allowed: set[int], campaign: Campaign) -> None:
    """What must hold each time that the command has ended."""
    if "Traceback" in said:
        campaign.problems.append(f"a traceback, exit code {code}: {_last_line(said)}")
    if code != 0 and code not in allowed:
        campaign.problems.append(f"the search ended with exit code {code}: {_last_line(said)}")
    if code in ORDERLY and stored_fingerprint(search.study_folder) is not None:
        running = [run.name for run in search.store.runs(search.name) if run.status == "RUNNING"]
        running += [f"trial {number} in Optuna" for number in search.study.trials().running()]
        campaign.problems += [f"{name} was left running by exit code {code}" for name in running]


def _check(search: Search, campaign: Campaign) -> None:
    """What must hold at the end of a search."""
    counts = search.study.trials().counts()
    campaign.complete += counts["complete"]
    campaign.lost += counts["lost"]
    if counts["complete"] != search.trials:
        campaign.problems.append(f"{counts['complete']} trials are complete, and {search.trials} were requested")
    campaign.problems += violations(search.study, search.store, search.trials)


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "it printed nothing")


def as_record(campaign: Campaign) -> dict[str, Any]:
    """Plain data."""
    plain = dict(vars(campaign))
    plain["seconds"] = round(campaign.seconds, 1)
    return plain | {"injections": [vars(injection) for injection in campaign.injections]}


def from_record(record: dict[str, Any]) -> Campaign:
    """What `as_record` gave, whatever else the record has."""
    fields = {name: record[name] for name in Campaign.__dataclass_fields__}
    return Campaign(**fields | {"injections": [Injection(**injection) for injection in record["injections"]]})
