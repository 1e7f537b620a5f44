"""llama.cpp on the GGUF file: its own benchmark in process, and its server; both built from source for this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from bench.engine import places
from bench.engine.figures import Timed
from bench.engine.missing import Missing
from bench.engine.server import Server
from bench.engine.workload import Messages

SDIST = "llama_cpp_python==0.3.36"
PLACE = places.KEPT / "llama.cpp"
_TARGETS = ("llama-batched-bench", "llama-server")
_OPTIONS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DGGML_NATIVE=ON",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
    "-DLLAMA_OPENSSL=OFF",
)
_CONTEXT = 512


def programs() -> Path:
    """The directory of the built programs; built now where there is none."""
    built = PLACE / "build" / "bin"
    if all((built / target).exists() for target in _TARGETS):
        return built
    if not (shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")):
        raise Missing("there is no C++ compiler on this machine to build llama.cpp with.")
    python = places.environment("llama.cpp-venv", ["scikit-build-core==0.11.6", "flit-core==4.2.0", *_cmake()])
    source = _source(python)
    print("Building llama.cpp from source: about ten minutes, once.", flush=True)
    path = f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    failing = "llama.cpp could not be built"
    build = str(PLACE / "build")
    places.background(["cmake", "-S", str(source), "-B", build, "-G", "Ninja", *_OPTIONS], failing, path)
    places.background(["cmake", "--build", build, "--target", *_TARGETS], failing, path)
    return built


def _cmake() -> list[str]:
    pins = {"cmake": "cmake==4.4.4", "ninja": "ninja==1.13.2"}
    return [pin for program, pin in pins.items() if not shutil.which(program)]


def _source(python: Path) -> Path:
    """llama.cpp as the source distribution of its Python binding carries it."""
    found = list(PLACE.glob("sdist/*/vendor/llama.cpp/CMakeLists.txt"))
    if not found:
        sdist = PLACE / "sdist"
        sdist.mkdir(parents=True, exist_ok=True)
        only = ["--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--dest", str(sdist)]
        places.background(
            [str(python), "-m", "pip", "download", "--quiet", *only, SDIST],
            f"the source of llama.cpp ({SDIST}) could not be downloaded",
        )
        with tarfile.open(next(sdist.glob("*.tar.gz"))) as archive:
            archive.extractall(sdist, filter="data")
        found = list(PLACE.glob("sdist/*/vendor/llama.cpp/CMakeLists.txt"))
    return found[0].parent


class BatchedBench:
    """`llama-batched-bench`: the library without a server, without sampling, all replies in step.

    It says how long the prompts took and how long the tokens; the wall is their sum, loading is not in it. All replies
    have their first token when all prompts are computed, and one gap is one step.
    """

    name = "llama.cpp"

    def __init__(self, programs: Path, gguf: Path, prompt_tokens: int) -> None:
        self._program = programs / "llama-batched-bench"
        self._gguf = gguf
        self._prompt_tokens = prompt_tokens

    def time(self, num_replies: int, num_tokens: int) -> Timed:
        threads = str(places.num_threads())
        room = num_replies * (self._prompt_tokens + num_tokens + 8) + 256
        command = [str(self._program), "-m", str(self._gguf), "-c", str(room), "-t", threads, "-tb", threads]
        size = ["-npp", str(self._prompt_tokens), "-ntg", str(num_tokens), "-npl", str(num_replies)]
        done = subprocess.run(
            [*command, *size, "--output-format", "jsonl"],
            capture_output=True,
            text=True,
            env=places.variables_of_others(),
        )
        if done.returncode:
            raise Missing(f"llama-batched-bench ended with {done.returncode}: {done.stderr[-300:]}")
        return read_batched_bench(done.stdout + done.stderr)


def read_batched_bench(output: str) -> Timed:
    """The one row among what it writes; Missing when there is none."""
    for line in output.splitlines():
        start = line.find('{"n_kv_max"')
        if start >= 0:
            row = json.loads(line[start:])
            num_replies, num_steps = row["pl"], row["tg"]
            return Timed(
                wall_s=row["t_pp"] + row["t_tg"],
                num_tokens=num_replies * num_steps,
                ttft_ms=[row["t_pp"] * 1000] * num_replies,
                itl_ms=[row["t_tg"] / num_steps * 1000],
                prompt_tokens=num_replies * row["pp"],
            )
    raise Missing("llama-batched-bench wrote no row.")


class LlamaServer(Server):
    name = "llama-server"

    def __init__(self, programs: Path, gguf: Path, num_replies: int) -> None:
        super().__init__()
        self._program = programs / "llama-server"
        self._gguf = gguf
        self._num_replies = num_replies

    def command(self, port: int) -> list[str]:
        threads = str(places.num_threads())
        model = [str(self._program), "-m", str(self._gguf), "-t", threads, "-tb", threads]
        room = ["-np", str(self._num_replies), "-c", str(self._num_replies * _CONTEXT)]
        return [*model, *room, "--host", "127.0.0.1", "--port", str(port)]

    def body(self, messages: Messages, num_tokens: int) -> dict[str, object]:
        return {
            "temperature": 0,
            "max_tokens": num_tokens,
            "ignore_eos": True,
            "stream_options": {"include_usage": True},
        }
