"""Write the lock files from pyproject.toml: every package, each with its version.

`requirements.lock` is for every machine, `requirements-diagrams.lock` for those that can draw diagrams (install.py),
`requirements-dev.lock` for tests and checks.

python3.11 -m qwenweb.up.lock        (make lock)
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# These come with one build of torch only: pip takes them when it installs that build.
_OF_TORCH_ALONE = re.compile(r"nvidia-|cuda-|triton")

_DRAWING_MACHINE = 'platform_machine == "x86_64"'

# What pip does not name on a newer Python 3.11 than these packages look for.
_OF_EARLY_PYTHON = ['async-timeout==5.0.1; python_full_version < "3.11.3"']


def main() -> int:
    """Ask pip which versions belong together, and write the files."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    run = _resolve([*project["dependencies"], "pip"])
    diagrams = _resolve([*run, *project["optional-dependencies"]["diagrams"]])
    dev = _resolve([*run, *project["optional-dependencies"]["dev"]])
    _write(ROOT / "requirements.lock", run + _OF_EARLY_PYTHON)
    only = [f"{line}; {_DRAWING_MACHINE}" for line in diagrams if line not in run]
    _write(ROOT / "requirements-diagrams.lock", only)
    _write(ROOT / "requirements-dev.lock", [line for line in dev if line not in run])
    return 0


def _resolve(requirements: list[str]) -> list[str]:
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    report = json.loads(subprocess.run([*command, *requirements], stdout=subprocess.PIPE, check=True).stdout)
    packages = [entry["metadata"] for entry in report["install"]]
    lines = [f"{package['name']}=={package['version'].split('+')[0]}" for package in packages]
    return [line for line in lines if not _OF_TORCH_ALONE.match(line)]


def _write(path: Path, lines: list[str]) -> None:
    lines = sorted(lines, key=str.lower)
    path.write_text("# Made by `make lock` from pyproject.toml; do not edit.\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
