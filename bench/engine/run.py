"""One run of the benchmark: who is measured, in which order, and what comes of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property, partial
from pathlib import Path
from statistics import mean
from typing import Protocol, TypeVar

from bench.engine import llama, places
from bench.engine.figures import Measured, Timed, loud, measured
from bench.engine.generate import Generate
from bench.engine.llama import BatchedBench, LlamaServer
from bench.engine.missing import Missing
from bench.engine.ours import Ours
from bench.engine.plan import Plan
from bench.engine.report import Cells, Parts, last_line, table
from bench.engine.serve import TransformersServe
from bench.engine.shelf import Shelf
from bench.engine.workload import burst
from inference import open_engine
from inference.contract import Engine
from inference.prompt import Prompter

T = TypeVar("T")

ANCHORS = ("llama.cpp", "llama-server", "transformers-cb", "generate")
PARTS = ("reuse", "disturbed", "quality", "product")
EVERYTHING = (*ANCHORS, "engine", *PARTS)


class Contender(Protocol):
    name: str

    def time(self, num_replies: int, num_tokens: int) -> Timed:
        """Ask for so many replies of so many tokens at once."""


class Bench:
    """What can't be measured on this machine is said, and left out. `closing` stops what was started."""

    def __init__(self, plan: Plan, closing: ExitStack) -> None:
        self._plan = plan
        self._closing = closing
        self._shelf = Shelf(places.KEPT / "anchors.json")
        self._cells = Cells()
        self._parts = Parts()

    def run(self) -> None:
        self._bursts()
        acts = {"reuse": self._reuse, "disturbed": self._disturbed, "quality": self._quality, "product": self._product}
        for name in PARTS:
            if name in self._plan.only:
                self._unless_missing(name, acts[name])

    def table(self) -> str:
        return table(self._cells, self._plan.num_tokens) if self._cells.tries else ""

    def last_line(self) -> str:
        return last_line(self._cells, self._parts, self._plan.replies)

    # Bursts of replies

    def _bursts(self) -> None:
        """Each in turn, round by round, so that what changes on the machine meets them all."""
        makers = {name: partial(self._contender, name) for name in (*ANCHORS, "engine") if name in self._plan.only}
        opened = {name: self._unless_missing(name, make) for name, make in makers.items()}
        contenders = [contender for contender in opened.values() if contender]
        for num_replies in self._plan.replies:
            for _ in range(self._plan.num_rounds):
                for contender in list(contenders):
                    tries = self._unless_missing(contender.name, partial(self._time, contender, num_replies))
                    if tries is None:
                        contenders.remove(contender)
                    else:
                        self._cells.add(contender.name, num_replies, tries)

    def _contender(self, name: str) -> Contender:
        if name == "llama.cpp":
            return BatchedBench(llama.programs(), places.gguf(), self._mean_prompt_tokens())
        if name == "engine":
            ours = Ours(self._engine)
            ours.time(2, 8)
            return ours
        contender = self._outsider(name)
        self._closing.callback(contender.close)
        return contender

    def _outsider(self, name: str) -> LlamaServer | TransformersServe | Generate:
        if name == "llama-server":
            return LlamaServer(llama.programs(), places.gguf(), max(self._plan.replies))
        return TransformersServe(self._model_dir) if name == "transformers-cb" else Generate(self._model_dir)

    def _time(self, contender: Contender, num_replies: int) -> list[Measured[Timed]]:
        key = f"{contender.name} {num_replies} {self._plan.num_tokens}"
        is_anchor = contender.name in ANCHORS
        if self._plan.use_shelf and is_anchor and (kept := self._shelf.get(key)):
            return [kept]
        tries = measured(lambda: contender.time(num_replies, self._plan.num_tokens), self._plan.num_tries)
        latest = tries[-1]
        print(
            f"{contender.name}, {num_replies} at once: {latest.figure.tokens_per_s:.1f} tokens/s, "
            f"others {latest.others_cpu:.1%}{'' if latest.is_quiet else ', too loud to judge'}",
            flush=True,
        )
        if is_anchor and latest.is_quiet:
            self._shelf.put(key, latest)
        return tries

    # What is measured besides

    def _reuse(self) -> None:
        from bench.engine.turns import tenth_turn

        turn = self._judged("reuse", lambda: tenth_turn(self._engine))
        self._parts.reuse_ttft = round(turn.ratio, 3) if turn else None

    def _disturbed(self) -> None:
        from bench.engine.disturbed import disturbed

        self._judged("disturbed", lambda: disturbed(self._engine))

    def _quality(self) -> None:
        from bench.engine.quality import qualities

        score = getattr(self._engine, "score", None)
        if score is None:
            raise Missing("this engine does not tell its scores.")
        for name, closeness in qualities(self._model_dir, score):
            print(f"Quality, {name}: {closeness}", flush=True)
            self._parts.quality[name] = {"kl": round(closeness.kl, 4), "top1": round(closeness.top1, 4)}

    def _product(self) -> None:
        from bench.engine.product import overhead

        num_replies = 8 if 8 in self._plan.replies else max(self._plan.replies)
        found = overhead(self._engine, self._model_dir, num_replies, self._plan)
        print(found, flush=True)
        self._parts.product = found.ratio
        self._parts.others_cpu += found.others_cpu

    def _judged(self, name: str, act: Callable[[], T]) -> T | None:
        """What was measured while the machine was quiet, said as it is; None when it never was."""
        latest = measured(act, self._plan.num_tries)[-1]
        print(latest.figure, flush=True)
        if not latest.is_quiet:
            print(f"{name}: {loud(latest.others_cpu)}", flush=True)
        self._parts.others_cpu.append(latest.others_cpu)
        return latest.figure if latest.is_quiet else None

    # What is measured with

    @cached_property
    def _engine(self) -> Engine:
        model_dir, began_at = self._model_dir, time.monotonic()
        engine = open_engine(model_dir, "cpu")
        print(f"The engine started in {time.monotonic() - began_at:.1f} s: {engine.info.plan}", flush=True)
        self._closing.callback(engine.shutdown)
        return engine

    @cached_property
    def _model_dir(self) -> Path:
        return places.model_dir()

    def _mean_prompt_tokens(self) -> int:
        prompter = Prompter(self._model_dir)
        return round(mean(prompter.count(messages) for messages in burst(16)))

    def _unless_missing(self, name: str, act: Callable[[], T]) -> T | None:
        try:
            return act()
        except Missing as missing:
            print(f"{name} is left out: {missing}", flush=True)
            return None
