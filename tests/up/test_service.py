"""How the supervisor treats children, with small programs in their place."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from qwenweb.up.child import Child, Failure
from qwenweb.up.service import Service, State

from .running import wait_until


class Script(Child):
    """A child that runs a few lines of Python."""

    def __init__(self, code: str, log: Path, *, gets_ready: bool = True) -> None:
        super().__init__("The script", log)
        self.code = code
        self.gets_ready = gets_ready

    def spawn(self) -> None:
        self.launch([sys.executable, "-c", self.code])

    def is_ready(self) -> bool:
        return self.gets_ready and self.is_running


def look_until(services: list[Service], state: State) -> None:
    def is_there() -> bool:
        for service in services:
            service.look()
        return services[-1].state is state

    wait_until(is_there)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "script.log"


def test_a_child_waits_for_what_it_needs(log: Path, tmp_path: Path) -> None:
    first = Service(Script(f"open({str(tmp_path / 'mark')!r}, 'w')", log), is_once=True)
    second = Service(Script(f"open({str(tmp_path / 'mark')!r})", log), [first], is_once=True)
    second.look()
    assert second.child.process is None
    look_until([first, second], State.READY)


def test_a_child_that_says_its_configuration_is_wrong_stays_off(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    service = Service(Script("import sys; print('The file a.gguf is cut off.'); sys.exit(78)", log))
    look_until([service], State.REFUSED)
    service.look()
    assert not service.child.is_running
    assert capsys.readouterr().err == "The script stays off: The file a.gguf is cut off.\n"


def test_work_that_fails_is_tried_again(log: Path, tmp_path: Path) -> None:
    path = str(tmp_path / "mark")
    code = f"import os, sys; sys.exit(0 if os.path.exists({path!r}) else open({path!r}, 'w').close() or 1)"
    look_until([Service(Script(code, log), is_once=True)], State.READY)


def test_without_an_essential_child_there_is_no_start(log: Path) -> None:
    service = Service(Script("raise SystemExit('The disk is full.')", log, gets_ready=False), is_essential=True)
    with pytest.raises(Failure, match=r"^The script can't be started: The disk is full\.$"):
        look_until([service], State.READY)


def test_the_children_of_a_child_end_with_it(log: Path) -> None:
    code = "import subprocess; print(subprocess.Popen(['sleep', '60']).pid, flush=True); input()"
    child = Script(code.replace("input()", "import time; time.sleep(60)"), log)
    child.spawn()
    wait_until(lambda: log.exists() and log.read_text().strip())
    grandchild = int(log.read_text())
    child.kill()
    wait_until(lambda: " Z " in state(grandchild) or not state(grandchild))


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
