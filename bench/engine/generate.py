"""Plain `model.generate` in bf16, one reply after another: what a first script does. In a process of its own.

Run as a program it reads a line of JSON for each reply from its input, and answers with one.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from bench.engine import places
from bench.engine.figures import Reply, Timed
from bench.engine.missing import Missing
from bench.engine.workload import burst
from inference.prompt import Prompter

MOST_REPLIES = 4
"""As they do not overlap, more take longer and tell no more."""


class Generate:
    name = "generate"

    def __init__(self, model_dir: Path) -> None:
        self._model_dir = model_dir
        self._prompter = Prompter(model_dir)
        self._process: subprocess.Popen[str] | None = None

    def time(self, num_replies: int, num_tokens: int) -> Timed:
        if self._process is None:
            self._start()
        conversations = burst(min(num_replies, MOST_REPLIES))
        began_at = time.monotonic()
        replies = [self._reply(began_at, self._prompter.build(messages).ids, num_tokens) for messages in conversations]
        timed = Timed.of(replies)
        if num_replies > MOST_REPLIES:
            timed.ttft_ms.clear()
        return timed

    def close(self) -> None:
        if self._process:
            with suppress(OSError):
                self._process.communicate()

    def _start(self) -> None:
        command = [sys.executable, "-m", "bench.engine.generate", str(self._model_dir), str(places.num_threads())]
        log = places.KEPT / "generate.log"
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                command, cwd=places.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        self._reply(time.monotonic(), self._prompter.build(burst(1)[0]).ids, 8)

    def _reply(self, asked_at: float, ids: list[int], num_tokens: int) -> Reply:
        assert self._process and self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(json.dumps({"ids": ids, "num_tokens": num_tokens}) + "\n")
            self._process.stdin.flush()
            arrivals = json.loads(self._process.stdout.readline())
        except (OSError, ValueError) as error:
            raise Missing(f"generate ended; {places.KEPT / 'generate.log'} says why.") from error
        return Reply(asked_at, arrivals[-1], tuple(arrivals), len(arrivals), len(ids))


class Arrivals:
    """What `generate` gives its tokens to: the prompt first, then each as it comes."""

    def __init__(self) -> None:
        self._is_prompt = True
        self.moments: list[float] = []

    def put(self, value: object) -> None:
        if not self._is_prompt:
            # The monotonic clock is one for all processes of a machine.
            self.moments.append(time.monotonic())
        self._is_prompt = False

    def end(self) -> None:
        """Nothing is held back."""


def answer(model_dir: Path, num_threads: int, asked: IO[str], answers: IO[str]) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(num_threads)
    loader: Any = AutoModelForCausalLM
    model = loader.from_pretrained(model_dir, dtype=torch.bfloat16).eval()
    model.generation_config.eos_token_id = None
    for line in asked:
        request = json.loads(line)
        ids = torch.tensor([request["ids"]])
        arrivals = Arrivals()
        with torch.inference_mode():
            model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=request["num_tokens"],
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                streamer=arrivals,
            )
        answers.write(json.dumps(arrivals.moments) + "\n")
        answers.flush()


if __name__ == "__main__":
    answer(Path(sys.argv[1]), int(sys.argv[2]), sys.stdin, sys.stdout)
