from __future__ import annotations

from typing import Any

import pytest
import torch

from inference.contract import SamplingParams
from inference.sampling import Choice, choose, uniform

LOGITS = torch.log(torch.tensor([0.05, 0.5, 0.3, 0.1, 0.05]))
WIDE = torch.randn(4, 128 * 40, generator=torch.Generator().manual_seed(2)) * 4


def drawn(num: int = 2000, **settings: Any) -> dict[int, float]:
    """How often each token comes, with the filters off that are not given."""
    params = SamplingParams(**{"temperature": 1.0, "top_p": 1.0, "top_k": 0, **settings})
    tokens = choose(LOGITS.repeat(num, 1), [Choice(params, 1, position) for position in range(num)])
    return {token: tokens.count(token) / num for token in sorted({token for token in tokens if token is not None})}


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
        ({"top_k": 2, "top_p": 0.7}, {1, 2}),
    ],
)
def test_filters_keep_exactly_the_likeliest(filters: dict[str, Any], kept: set[int]) -> None:
    assert set(drawn(**filters)) == kept


@pytest.mark.parametrize("settings", [{"top_k": 300}, {"top_p": 0.999}, {"min_p": 1e-6}, {"top_k": 0, "top_p": 0.5}])
def test_a_wide_choice_is_as_often_as_the_model_says(settings: dict[str, Any]) -> None:
    params = SamplingParams(**{"temperature": 2.0, "top_p": 1.0, "top_k": 0, **settings})
    row = WIDE[0]
    tokens = choose(row.repeat(400, 1), [Choice(params, 9, position) for position in range(400)])
    shares, order = torch.softmax(row / 2, -1).sort(descending=True)
    kept = torch.ones(len(row), dtype=torch.bool)
    kept &= shares.cumsum(-1) - shares < params.top_p
    kept &= shares >= params.min_p * shares[0]
    kept[params.top_k or len(row) :] = False
    allowed = set(order[kept].tolist())
    assert set(tokens) <= allowed
    first = int(order[0])
    assert tokens.count(first) / 400 == pytest.approx(float(shares[0] / shares[kept].sum()), abs=0.09)


def test_the_best_of_many_scores_are_found_by_blocks() -> None:
    greedy = SamplingParams(temperature=0)
    assert choose(WIDE.clone(), [Choice(greedy, 1, 0)] * 4) == WIDE.argmax(-1).tolist()


def test_a_step_that_ends_no_prompt_draws_nothing() -> None:
    assert choose(WIDE[:0], []) == []


def test_a_seed_repeats_the_row_of_tokens() -> None:
    assert drawn(50, temperature=2) == drawn(50, temperature=2)


def test_the_least_temperature_is_as_good_as_none() -> None:
    assert drawn(20, temperature=1e-6) == {1: 1.0}


def test_rows_are_drawn_as_each_would_be_alone() -> None:
    kinds = [
        SamplingParams(temperature=0),
        SamplingParams(temperature=1.3, top_k=40, top_p=0.9),
        SamplingParams(temperature=0.9, top_k=0, top_p=0.95),
        SamplingParams(temperature=1.0, top_k=0, top_p=1.0),
    ]
    choices = [Choice(params, seed, 3) for seed, params in enumerate(kinds)]
    together = choose(WIDE.clone(), choices)
    assert together == [choose(WIDE[i : i + 1].clone(), [choices[i]])[0] for i in range(4)]


def test_a_row_without_numbers_is_told_and_the_others_are_drawn() -> None:
    rows = WIDE.clone()
    rows[1, 7] = float("nan")
    params = SamplingParams(temperature=1.0, top_k=5)
    tokens = choose(rows, [Choice(params, 1, 0)] * 4)
    assert tokens[1] is None and None not in (tokens[0], tokens[2], tokens[3])


def test_penalties_and_bias_move_scores_as_they_say() -> None:
    def best(**settings: Any) -> int | None:
        choice = Choice(SamplingParams(temperature=0, **settings), 1, 0, prompt=[0], reply=[1, 1, 2])
        return choose(torch.tensor([[2.0, 3.0, 2.9, 2.8, -1.0]]), [choice])[0]

    assert best() == 1
    assert best(presence_penalty=0.5) == 3
    assert best(presence_penalty=0.15) == 1
    assert best(frequency_penalty=0.15) == 3
    assert best(repetition_penalty=1.2) == 3
    assert best(logit_bias=((4, 50.0), (99, 1.0))) == 4


def test_chances_are_even_and_depend_on_seed_and_position_alone() -> None:
    chances = [uniform(seed, position) for seed in (0, 1, 2**63 - 1) for position in range(1000)]
    assert all(0 <= chance < 1 for chance in chances) and len(set(chances)) == len(chances)
    assert sum(chances) / len(chances) == pytest.approx(0.5, abs=0.02)
    assert uniform(5, 7) == uniform(5, 7)
