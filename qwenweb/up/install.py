"""Make `.venv` and install the pinned packages in it. Run by the system's Python, standard library only.

python3.11 -m qwenweb.up.install [--dev]
"""

from __future__ import annotations

import fcntl
import hashlib
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from .child import Failure
from .devices import has_nvidia_gpu
from .packages import Pip
from .progress import megabytes

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
_TORCH = "torch==2.13.0"
_NEEDED_BYTES = 1_600_000_000


def main(argv: list[str]) -> int:
    """Bring `.venv` up to date with the lock files; do nothing when it is."""
    names = ["requirements", *(["requirements-diagrams"] if draws_diagrams() else [])]
    locks = [ROOT / f"{name}.lock" for name in [*names, *(["requirements-dev"] if "--dev" in argv else [])]]
    try:
        VENV.mkdir(exist_ok=True)
        with (VENV / "installing.lock").open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            if not all(_is_installed(lock) for lock in locks):
                _install(locks)
    except KeyboardInterrupt:
        return 130
    except Failure as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"The packages can't be installed in {VENV}: {error.strerror}.\n")
        return 1
    return 0


def _install(locks: list[Path]) -> None:
    _make_venv()
    pip = Pip(PYTHON, VENV / "install.log")
    num_packages = sum(line[:1].isalnum() for lock in locks for line in lock.read_text().splitlines())
    for requirement in _torch_builds():
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as build:
            build.write(f"{requirement}\n")
            build.flush()
            try:
                pip.install([Path(build.name), *locks], num_packages)
            except Failure as failure:
                # The CPU build is not to be had everywhere; where it is not, the general one does the same work.
                if requirement in str(failure) and requirement != _torch_builds()[-1]:
                    continue
                raise
        break
    for lock in locks:
        _stamp(lock).write_text(_digest(lock))


def draws_diagrams() -> bool:
    """Whether the renderer of diagrams is built for this machine; elsewhere people see their sources."""
    name, version = platform.libc_ver()
    is_built = platform.machine() == "x86_64" and name == "glibc"
    return is_built and tuple(map(int, version.split("."))) >= (2, 35)


def _torch_builds() -> list[str]:
    return [f"{_TORCH},!=2.13.0+cpu"] if has_nvidia_gpu() else [f"{_TORCH}+cpu", _TORCH]


def _make_venv() -> None:
    if _runs(str(PYTHON), "-c", "import sys; sys.exit(sys.version_info[:2] != (3, 11))"):
        return
    if shutil.disk_usage(VENV).free < _NEEDED_BYTES:
        raise Failure(f"The disk that holds {VENV} is full: the packages need {megabytes(_NEEDED_BYTES)}.")
    if not _runs(sys.executable, "-c", "import venv"):
        raise Failure(f"{sys.executable} lacks the module venv; please install it (Debian: python3.11-venv).")
    if not _runs(sys.executable, "-m", "venv", "--without-pip", str(VENV)):
        raise Failure(f"No environment can be made in {VENV}; is the folder writable?")


def _runs(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        return False


def _is_installed(lock: Path) -> bool:
    try:
        return PYTHON.exists() and _stamp(lock).read_text() == _digest(lock)
    except FileNotFoundError:
        return False


def _stamp(lock: Path) -> Path:
    """Return the file that says which state of `lock` is installed."""
    return VENV / f"{lock.stem}.installed"


def _digest(lock: Path) -> str:
    return hashlib.sha256(f"{_torch_builds()} {sys.version_info[:3]}\n{lock.read_text()}".encode()).hexdigest()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
