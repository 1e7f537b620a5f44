"""The model: a plain library that knows requests and tokens, not users, HTTP or chat."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from inference.errors import ModelError

if TYPE_CHECKING:
    from inference.contract import Engine
    from inference.prompt import ChatPrompter


# Between two matrix products OpenMP's threads spin for microseconds; between two replies they sleep. Asleep at once,
# they cost half of the speed; spinning for long, they take the processors from the rest. torch reads it at import.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def open_engine(model_dir: Path | None, device: str = "cpu") -> Engine:
    """Load a ready model directory onto `device` ("cpu", "cuda:0"); None is the scripted engine, where asked for."""
    if model_dir is None:
        from inference.scripted import ScriptedEngine

        return ScriptedEngine(_script())
    from inference.engine import LocalEngine
    from inference.memory import Wishes

    return LocalEngine.open(model_dir, device, Wishes.of_environment())


def open_prompter(model_dir: Path | None) -> ChatPrompter:
    """What counts and builds prompts for that engine; light enough for a web process."""
    if model_dir is None:
        from inference.scripted import ScriptedPrompter

        return ScriptedPrompter.of(_script())
    from inference.prompt import Prompter

    return Prompter(model_dir)


def _script() -> str:
    # Made-up replies must never reach people because a model is missing.
    if os.environ.get("QWENWEB_ENGINE") != "scripted":
        raise ModelError("No model is here yet; get one with `manage.py models fetch`.")
    return os.environ.get("QWENWEB_SCRIPT", "")
