from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack import RunningStack, running_stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """The whole stack with the scripted engine; its leases are short, so that the dead are missed soon."""
    directory: Path = tmp_path_factory.mktemp("stack")
    with running_stack(
        directory / "var",
        QWENWEB_HEARTBEAT_S="0.5",
        QWENWEB_LEASE_S="2",
        QWENWEB_SWEEP_S="0.5",
        QWENWEB_SCRIPT="stall_s=1",
    ) as stack:
        yield stack


@pytest.fixture(scope="module")
def sessions(stack: RunningStack) -> list[str]:
    return stack.people(4)
