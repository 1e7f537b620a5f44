"""A short slice of the faults; `make test-faults` runs all of them, with many seeds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.cases import CASES, Case
from tests.faults.ledger import Entry
from tests.faults.run import run
from tests.faults.wide import WideStack, wide_stack
from tests.visitor import Visitor

SLICE = (
    "worker killed in mid-reply",
    "worker killed before the first word",
    "worker terminated for a deploy",
    "worker asleep for 4 s, then awake",
)


@pytest.fixture(scope="module")
def wide() -> Iterator[WideStack]:
    with wide_stack() as stack:
        yield stack


@pytest.fixture(scope="module")
def people(wide: WideStack) -> list[str]:
    return wide.people(3)


@pytest.mark.parametrize("case", [case for case in CASES if case.name in SLICE], ids=lambda case: case.name)
async def test_the_invariants_hold_under(wide: WideStack, people: list[str], case: Case) -> None:
    assert (await run(wide, people, case, seed=0)).found == []


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
