from __future__ import annotations

from typing import Any

import pytest
import torch

from inference.contract import SamplingParams
from inference.sampling import sample

LOGITS = torch.log(torch.tensor([0.05, 0.5, 0.3, 0.1, 0.05]))


def drawn(num: int = 2000, **settings: Any) -> dict[int, float]:
    """How often each token comes, with the filters off that are not given."""
    params = SamplingParams(**{"temperature": 1.0, "top_p": 1.0, "top_k": 0, **settings})
    chance = torch.Generator().manual_seed(1)
    tokens = [sample(LOGITS, params, chance) for _ in range(num)]
    return {token: tokens.count(token) / num for token in sorted(set(tokens))}


def test_temperature_zero_takes_the_likeliest() -> None:
    assert drawn(20, temperature=0) == {1: 1.0}


def test_without_filters_tokens_come_as_often_as_the_model_says() -> None:
    for token, share in drawn().items():
        assert share == pytest.approx(float(LOGITS[token].exp()), abs=0.04)


def test_temperature_sharpens_and_flattens() -> None:
    assert drawn(temperature=0.5)[1] > drawn()[1] > drawn(temperature=2)[1]


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        ({"top_k": 2}, {1, 2}),
        ({"top_k": 50}, {0, 1, 2, 3, 4}),
        ({"top_p": 0.75}, {1, 2}),
        ({"top_p": 0.01}, {1}),
        ({"min_p": 0.15}, {1, 2, 3}),
        ({"min_p": 1.0}, {1}),
        ({"top_k": 3, "top_p": 0.9, "min_p": 0.3}, {1, 2}),
    ],
)
def test_filters_keep_exactly_the_likeliest(filters: dict[str, Any], kept: set[int]) -> None:
    assert set(drawn(**filters)) == kept


def test_a_seed_repeats_the_row_of_tokens() -> None:
    assert drawn(50, temperature=2) == drawn(50, temperature=2)


def test_the_least_temperature_is_as_good_as_none() -> None:
    assert drawn(20, temperature=1e-6) == {1: 1.0}
