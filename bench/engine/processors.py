"""How much of the processors other programs took: what the machine did, less what this process and its children did."""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_USER, _NICE, _SYSTEM, _IRQ, _SOFTIRQ, _STEAL = 0, 1, 2, 5, 6, 7


@dataclass(frozen=True)
class Moment:
    """Seconds: by the clock, of all processors together at work, and of this process and its descendants."""

    clock_s: float
    busy_s: float
    own_s: float


class Watch:
    """Begins to look when it is made."""

    def __init__(self) -> None:
        self._since = _now()

    def others(self) -> float:
        """The share of the processors' time that others took since; 0 … 1."""
        return others_share(self._since, _now(), len(os.sched_getaffinity(0)))


def wait_for_quiet(most_others: float, most_s: float) -> None:
    """Return after two seconds in which others took no more than this share, and after `most_s` in any case."""
    deadline = time.monotonic() + most_s
    while time.monotonic() < deadline:
        watch = Watch()
        time.sleep(2)
        if watch.others() <= most_others:
            return


def others_share(before: Moment, after: Moment, num_processors: int) -> float:
    busy_s, own_s = after.busy_s - before.busy_s, after.own_s - before.own_s
    available_s = (after.clock_s - before.clock_s) * num_processors
    return min(max(busy_s - own_s, 0) / available_s, 1)


def busy_s(stat: str, processors: Collection[int], ticks_per_s: int) -> float:
    """Seconds that these processors were at work by the text of /proc/stat; what a host took away counts too."""
    ticks = 0
    for line in stat.splitlines():
        name, *values = line.split() or [""]
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in processors:
            ticks += sum(int(values[i]) for i in (_USER, _NICE, _SYSTEM, _IRQ, _SOFTIRQ, _STEAL))
    return ticks / ticks_per_s


def _now() -> Moment:
    stat = Path("/proc/stat").read_text()
    return Moment(time.monotonic(), busy_s(stat, os.sched_getaffinity(0), _TICKS_PER_S), _own_s())


def _own_s() -> float:
    """Of the living, and of the dead that were waited for."""
    total = 0.0
    me = psutil.Process()
    for process in (me, *me.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total
