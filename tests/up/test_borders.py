"""What a process loads, where the import graph alone can't tell."""

from __future__ import annotations

import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from .running import ROOT, environment


@pytest.mark.parametrize(
    ("module", "foreign"),
    [
        ("qwenweb.asgi", {"torch", "transformers"}),
        ("qwenweb.up.command", {"django", "celery", "redis", "psycopg", "inference"}),
        ("inference.models_cli", {"django", "torch", "transformers"}),
        ("inference.engine", {"django", "redis", "chat"}),
    ],
)
def test_a_module_stays_within_its_borders(tmp_path: Path, module: str, foreign: set[str]) -> None:
    code = f"import sys, {module}; print(*sorted({foreign!r} & set(sys.modules)))"
    env = environment(tmp_path, QWENWEB_SECRET_KEY=secrets.token_urlsafe(64), DJANGO_SETTINGS_MODULE="qwenweb.settings")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.stdout.strip() == "", done.stdout
    assert done.returncode == 0, done.stderr
