"""`transformers serve --continuous-batching` on the bf16 weights, in a virtual environment of its own."""

from __future__ import annotations

import json
from pathlib import Path

from bench.engine import places
from bench.engine.server import Server
from bench.engine.workload import Messages

REQUIREMENTS = (
    "transformers[serving]==5.23.0",
    "torch==2.13.0",
    "accelerate==1.15.0",
    "httpx==0.28.1",
    "psutil==7.2.2",
)


class TransformersServe(Server):
    name = "transformers-cb"

    def __init__(self, model_dir: Path) -> None:
        super().__init__()
        self._model_dir = model_dir
        self._python = places.environment("transformers-venv", REQUIREMENTS)

    def command(self, port: int) -> list[str]:
        serve = [str(self._python.with_name("transformers")), "serve", str(self._model_dir), "--continuous-batching"]
        # By itself it takes most of the memory for keys and values, which is no faster.
        room = ["--cb-num-blocks", "64", "--cb-max-batch-tokens", "4096"]
        return [*serve, *room, "--device", "cpu", "--host", "127.0.0.1", "--port", str(port)]

    def body(self, messages: Messages, num_tokens: int) -> dict[str, object]:
        # The sampling of the first request holds for all; an end token of -1 is none.
        config = {"max_new_tokens": num_tokens, "do_sample": False, "eos_token_id": -1, "pad_token_id": 0}
        return {"model": str(self._model_dir), "generation_config": json.dumps(config)}
