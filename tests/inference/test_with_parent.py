from __future__ import annotations

import subprocess
import sys

import psutil

from tests.conftest import wait_for
from tests.stack import ROOT

PARENT = """
import subprocess, time
from inference import with_parent
child = subprocess.Popen([*with_parent.command(), "sleep", "60"])
print(child.pid, flush=True)
time.sleep(60)
"""


def test_a_child_ends_with_the_process_that_started_it_even_when_that_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, cwd=ROOT)
    assert parent.stdout
    child = psutil.Process(int(parent.stdout.readline()))
    wait_for(lambda: child.name() == "sleep")
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
