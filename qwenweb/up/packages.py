"""pip, with its output read for progress and for the one line that matters when it fails."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from .child import Failure
from .progress import Bar, megabytes

_OLDEST_PIP = (22, 3)  # the first that can install into another environment
_MET = re.compile(r"(?:Collecting|Processing|Requirement already satisfied:) (?P<file>/\S*/)?(?P<name>\w[\w.]*)")
_SIZE = re.compile(r"(?:Downloading|Using cached) .*\((?P<number>[\d.]+) (?P<unit>[kMG]?B)\)")
_UNITS = {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9}


@dataclass
class Pip:
    """Installs into the environment of `python`; `log` keeps all that pip says."""

    python: Path
    log: Path
    command: list[str] = field(init=False)

    def __post_init__(self) -> None:
        """Take the pip of this Python, else the one that Python carries for new environments."""
        command = [sys.executable, "-m", "pip"]
        shown = subprocess.run([*command, "--version"], capture_output=True, text=True).stdout
        version = re.match(r"pip (\d+)\.(\d+)", shown)
        if version and (int(version[1]), int(version[2])) >= _OLDEST_PIP:
            self.command = [*command, "--python", str(self.python)]
        elif subprocess.run([self.python, "-m", "ensurepip"], capture_output=True).returncode == 0:
            self.command = [str(self.python), "-m", "pip"]
        else:
            raise Failure(f"{sys.executable} has no pip; please install it (Debian: python3-pip).")

    def install(self, requirements: list[Path], num_packages: int) -> None:
        """Install what the files name; raise Failure with pip's reason."""
        files = [word for path in requirements for word in ("-r", str(path))]
        # Bytecode is written when a module is first used: compiling all of torch now would take most of a minute.
        options = ["--no-compile", "--progress-bar=off", "--no-input", "--disable-pip-version-check"]
        env = os.environ | {"PYTHONUNBUFFERED": "1", "LC_ALL": "C.UTF-8"}
        with self.log.open("w") as log, self.log.open() as output:
            process = subprocess.Popen(
                [*self.command, "install", *options, *files], stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=env
            )
            try:
                errors = self._watch(process, output, num_packages)
            finally:
                process.terminate()
                process.wait()
        if process.returncode != 0:
            reason = errors[-1] if errors else f"pip ended with status {process.returncode}"
            raise Failure(f"The packages can't be installed: {reason.rstrip('.')}. All that pip said: {self.log}")

    def _watch(self, process: subprocess.Popen[bytes], output: TextIO, num_packages: int) -> list[str]:
        """Draw the progress until pip ends; return its error lines."""
        bar = Bar("Getting packages")
        names: set[str] = set()
        errors: list[str] = []
        num_bytes = 0.0
        is_installing = False
        for line in _lines(process, output):
            if met := _MET.match(line):
                names.add(met["name"].split("-")[0].lower())
            num_bytes += _size(line)
            if line.startswith("ERROR: "):
                errors.append(line.removeprefix("ERROR: ").strip())
            if line.startswith("Installing collected packages"):
                is_installing = True
                bar.stage = "Installing packages"
            done = self._count_installed() if is_installing else len(names)
            bar.update(done, num_packages, f"{min(done, num_packages)} of {num_packages} · {megabytes(num_bytes)}")
        bar.close()
        return errors

    def _count_installed(self) -> int:
        return sum(1 for _ in self.python.parent.parent.glob("lib/python*/site-packages/*.dist-info"))


def _lines(process: subprocess.Popen[bytes], output: TextIO) -> Iterator[str]:
    """Yield the lines of a growing file, and an empty one ten times a second while none comes."""
    while True:
        is_over = process.poll() is not None
        while line := output.readline():
            yield line
        if is_over:
            return
        yield ""
        time.sleep(0.1)


def _size(line: str) -> float:
    """Return the bytes of the package that this line of pip is about, 0 when it tells none."""
    if size := _SIZE.search(line):
        return float(size["number"]) * _UNITS[size["unit"]]
    met = _MET.match(line)
    if not met or not met["file"]:
        return 0
    try:
        return Path(line.split(" (from ")[0].removeprefix("Processing ").strip()).stat().st_size
    except OSError:
        return 0
