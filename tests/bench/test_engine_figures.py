"""What the engine's benchmark counts, reads and judges."""

from __future__ import annotations

import json

import pytest
import torch

from bench.engine import figures
from bench.engine.figures import Measured, Reply, Timed, fastest, measured, percentile, ratio
from bench.engine.llama import read_batched_bench
from bench.engine.missing import Missing
from bench.engine.processors import Moment, Watch, busy_s, others_share
from bench.engine.quality import closeness
from bench.engine.report import Cells, Parts, last_line, table
from bench.engine.workload import burst, fresh, prompts, questions

STAT = """cpu  400 20 80 9000 50 10 10 30 7 0
cpu0 100 10 40 4500 25 5 5 15 3 0
cpu1 300 10 40 4500 25 5 5 15 4 0
intr 12345 0 0
"""
ROW = {"n_kv_max": 4096, "pp": 195, "tg": 128, "pl": 4, "t_pp": 3.0, "t_tg": 7.0, "t": 10.0, "speed": 129.2}


def burst_of(tokens_per_s: float, others_cpu: float = 0.0, ttft_ms: float = 100.0) -> Measured[Timed]:
    return Measured(Timed(1.0, round(tokens_per_s), [ttft_ms], [10.0]), others_cpu)


def test_percentiles_lie_between_the_nearest_values() -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], 50) == 2.5
    assert percentile([float(i) for i in range(101)], 95) == 95
    assert percentile([7.0], 95) == 7
    assert percentile([], 50) is None


def test_a_burst_lasts_from_the_first_question_to_the_last_end() -> None:
    early = Reply(10.0, 12.0, (10.5, 11.0, 12.0), num_tokens=3)
    late = Reply(10.1, 14.0, (12.1, 14.0), num_tokens=2)
    timed = Timed.of([early, late])
    assert timed.wall_s == 4
    assert timed.tokens_per_s == 1.25
    assert timed.ttft_ms == pytest.approx([500, 2000])
    assert timed.itl_ms == pytest.approx([500, 1000, 1900])


def test_work_is_counted_on_our_processors_with_what_the_host_took_and_without_waiting() -> None:
    assert busy_s(STAT, {0, 1}, 100) == pytest.approx(5.5)
    assert busy_s(STAT, {1}, 100) == pytest.approx(3.75)


def test_others_have_what_was_worked_and_not_by_us() -> None:
    before = Moment(clock_s=0, busy_s=100, own_s=10)
    assert others_share(before, Moment(10, 115, 23), num_processors=2) == pytest.approx(0.1)
    assert others_share(before, Moment(10, 119, 30), num_processors=2) == 0


def test_the_wall_of_batched_bench_is_prompts_and_tokens() -> None:
    timed = read_batched_bench(f"load: ready\n{json.dumps(ROW)}\nllama_perf: done\n")
    assert timed.wall_s == 10
    assert timed.tokens_per_s == pytest.approx(51.2)
    assert timed.ttft_ms == [3000] * 4
    assert timed.itl_ms == pytest.approx([7000 / 128])


def test_batched_bench_without_a_row_is_said() -> None:
    with pytest.raises(Missing, match="wrote no row"):
        read_batched_bench("error: failed to load model")


def test_nothing_is_judged_on_a_loud_machine() -> None:
    assert fastest([burst_of(50, 0.3), burst_of(40, 0.11)]) is None


def test_the_fastest_quiet_burst_counts() -> None:
    best = fastest([burst_of(90, 0.5), burst_of(50, 0.02), burst_of(60, 0.1)])
    assert best
    assert best.figure.tokens_per_s == 60


def test_no_ratio_without_both_sides() -> None:
    assert ratio(3, 2) == 1.5
    assert ratio(None, 2) is None
    assert ratio(3, None) is None


def test_the_last_line_holds_what_was_judged_and_null_for_the_rest() -> None:
    cells = Cells()
    cells.add("llama.cpp", 8, [burst_of(50)])
    cells.add("llama-server", 8, [burst_of(40, ttft_ms=400)])
    cells.add("generate", 8, [burst_of(10, others_cpu=0.2)])
    cells.add("engine", 8, [burst_of(100, others_cpu=0.04)])
    line = json.loads(last_line(cells, Parts(reuse_ttft=0.1), [1, 8]))
    assert line == {
        "bench": "engine",
        "ratios": {
            "llama.cpp": {"1": None, "8": 2.0},
            "transformers-cb": {"1": None, "8": None},
            "generate": {"1": None, "8": None},
        },
        "reuse_ttft": 0.1,
        "ttft_8": 0.25,
        "quality": {"en": None, "code": None, "zh": None},
        "product": None,
        "others_cpu": 0.2,
    }


def test_the_table_says_what_is_not_judged_and_what_ended_early() -> None:
    cells = Cells()
    cells.add("generate", 1, [burst_of(10, others_cpu=0.25)])
    cells.add("engine", 1, [burst_of(100)])
    shown = table(cells, num_tokens=128)
    assert "others took 25% of the processors" in shown
    assert "engine, 1: replies ended early, 100 of 128 tokens were made." in shown


def test_equal_scores_are_no_divergence_and_others_are() -> None:
    scores = torch.tensor([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0]])
    same = closeness([(scores, scores.clone())])
    assert (same.kl, same.top1, same.num_tokens) == (0, 1, 2)
    other = closeness([(scores, scores.flip(-1))])
    assert other.kl > 0.5
    assert other.top1 == 0.5


def test_no_conversation_begins_as_one_before() -> None:
    texts = prompts()
    assert len(texts) == 16
    assert len(questions()) == 10
    beginnings = [messages[0].content for _ in range(3) for messages in burst(16)]
    assert len(set(beginnings)) == len(beginnings)
    assert fresh(texts[0])[1].content == texts[0]


def test_a_loud_machine_is_tried_again_until_it_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = iter([0.5, 0.2, 0.05, 0.0])
    monkeypatch.setattr(figures, "wait_for_quiet", lambda *_, **__: None)
    monkeypatch.setattr(Watch, "others", lambda _: next(shares))
    assert [one.others_cpu for one in measured(lambda: 1, num_tries=4)] == [0.5, 0.2, 0.05]
    assert [one.others_cpu for one in measured(lambda: 1, num_tries=1)] == [0.0]
