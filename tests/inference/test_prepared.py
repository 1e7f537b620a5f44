"""Weights that were rounded once: the same numbers at the next start, and nothing that can stand in its way."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch

from inference.linear import Row8Linear
from inference.memory import Wishes
from inference.model_runner import ModelRunner

pytestmark = pytest.mark.skipif(not Row8Linear.is_supported(), reason="This CPU has no int8 products.")
TOKENS = [72, 101, 108, 108, 111]


@pytest.fixture
def model_dir(tiny_model_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model_dir, tmp_path / "models" / "tiny"))


def scores(model_dir: Path, format_: str = "row8") -> torch.Tensor:
    return ModelRunner(model_dir, "cpu", Wishes(format_)).score(TOKENS)  # type: ignore[arg-type]


def kept(model_dir: Path) -> list[Path]:
    return sorted(model_dir.parent.glob(".prepared/*"))


def test_the_second_start_computes_the_same_to_the_bit_from_what_the_first_kept(model_dir: Path) -> None:
    first = scores(model_dir)
    (place,) = kept(model_dir)
    written_at = {path: path.stat().st_mtime_ns for path in place.iterdir()}
    assert written_at
    assert torch.equal(scores(model_dir), first)
    assert {path: path.stat().st_mtime_ns for path in place.iterdir()} == written_at


def test_what_was_kept_of_another_state_of_the_model_is_not_used_and_goes(model_dir: Path) -> None:
    scores(model_dir)
    (former,) = kept(model_dir)
    os.utime(model_dir / "config.json", (1, 1))
    scores(model_dir)
    (place,) = kept(model_dir)
    assert place.name != former.name


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(path.read_bytes()[:40]), Path.unlink])
def test_what_is_damaged_is_made_anew(model_dir: Path, damage: object) -> None:
    whole = scores(model_dir)
    (place,) = kept(model_dir)
    damage(sorted(place.iterdir())[1])  # type: ignore[operator]
    assert torch.equal(scores(model_dir), whole)
    assert torch.equal(scores(model_dir), whole)
    assert len(list(kept(model_dir)[0].iterdir())) > 1


def test_where_nothing_can_be_kept_the_model_is_used_all_the_same(model_dir: Path) -> None:
    (model_dir.parent / ".prepared").write_text("in the way")
    assert scores(model_dir).isfinite().all()


def test_formats_that_round_nothing_keep_nothing(model_dir: Path) -> None:
    scores(model_dir, "fp32")
    assert kept(model_dir) == []
