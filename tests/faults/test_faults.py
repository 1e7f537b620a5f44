"""A short slice of the faults (with `FAULT_SEEDS` seeds); `make test-faults` runs all of them, with many."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest

from tests.faults.cases import CASES, Case
from tests.faults.ledger import Entry
from tests.faults.machine import walk
from tests.faults.run import run
from tests.faults.wide import WideStack, wide_stack
from tests.stack import ROOT
from tests.visitor import Visitor

SLICE = (
    "worker killed in mid-reply",
    "worker killed before the first word",
    "worker terminated for a deploy",
    "worker asleep for 4 s, then awake",
    "one reply fails for want of memory",
    "Valkey loses everything eight times",
    "Valkey killed, and back without its last writes",
    "connections of Postgres ended",
    "page loaded again at random moments",
    "stopped at a random moment",
    "chat deleted in mid-reply",
    "frames that are none",
)
NUM_SEEDS = int(os.environ.get("FAULT_SEEDS", "1"))


@pytest.fixture(scope="module")
def wide() -> Iterator[WideStack]:
    with wide_stack() as stack:
        yield stack


@pytest.fixture(scope="module")
def people(wide: WideStack) -> list[str]:
    return wide.people(3)


@pytest.mark.parametrize("seed", range(NUM_SEEDS))
@pytest.mark.parametrize("case", [case for case in CASES if case.name in SLICE], ids=lambda case: case.name)
async def test_the_invariants_hold_under(wide: WideStack, people: list[str], case: Case, seed: int) -> None:
    assert (await run(wide, people, case, seed)).found == []


def test_the_invariants_hold_on_a_random_walk(wide: WideStack, people: list[str]) -> None:
    assert walk(wide, people, walks=1, steps=6, seconds=10)


def test_every_fault_is_a_case_or_has_its_reason() -> None:
    """Each row of the list is in docs/reliability.md, as runs or with the reason why not."""
    named = {int(number) for number in re.findall(r"(?m)^\| (\d+) \|", (ROOT / "docs/reliability.md").read_text())}
    assert named >= {case.number for case in CASES}
    assert named == set(range(1, 61))


def test_the_ledger_notices_what_is_lost_changed_foreign_or_unended() -> None:
    entry = Entry(Visitor(1, "s"), "c", "aa", "aa.0 aa.1 aa.2")
    entry.visitor.history = ["<p>aa.0</p>", "<p>aa.0 aa.1</p>"]
    assert entry.breaks("completed", "aa.0 aa.1 aa.2") == []
    assert entry.breaks("interrupted", "aa.0 aa.1") == ["ended interrupted"]
    assert "I5: shown, but not stored" in entry.breaks("completed", "aa.0")
    assert "I5: the reply is not what the model said" in entry.breaks("completed", "aa.0 aa.1")
    assert "I5: the stored text is no beginning of what the model said" in entry.breaks("completed", "aa.0 aa.2")
    entry.visitor.history = ["<p>aa.0 aa.1</p>", "<p>aa.0 bb.1</p>"]
    found = entry.breaks("completed", "aa.0 aa.1 aa.2")
    assert "I6: what was shown changed" in found
    assert "I7: a foreign word was shown" in found
