"""Logging holds up nobody: neither a pipe that nobody reads, nor a full disk."""

from __future__ import annotations

import os

from qwenweb.log_lines import MOST_WAITING, LogLines


def test_who_logs_does_not_wait_for_a_pipe_that_nobody_reads_and_lines_come_when_it_is_read() -> None:
    reading, writing = os.pipe()
    lines = LogLines(writing)
    for number in range(3 * MOST_WAITING):
        lines.write(f"line {number}\n")
    with os.fdopen(reading) as pipe:
        assert [pipe.readline() for _ in range(1000)] == [f"line {number}\n" for number in range(1000)]
        while pipe.readline() != f"line {MOST_WAITING - 1}\n":
            pass
        lines.write("the last\n")
        while pipe.readline() != "the last\n":
            pass
    os.close(writing)


def test_a_full_disk_costs_lines_and_fails_nobody() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    lines = LogLines(full)
    assert lines.write("lost\n") == 5
    lines._take_leave()  # the line was taken and tried
    reading, writing = os.pipe()
    os.dup2(writing, full)
    lines.write("\ud800 kept\n")
    with os.fdopen(reading) as pipe:
        assert pipe.readline() == "\\ud800 kept\n"
    for fd in (writing, full):
        os.close(fd)
