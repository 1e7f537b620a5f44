"""Which models are served, and getting one ready: by name, own directory, GGUF file or hub id."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import re
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from inference.contract import SamplingParams
from inference.errors import ModelError
from inference.machine import Machine
from inference.sources import FileSource, HubSource, Source, Unreachable
from inference.weights import MANIFEST, Progress, check, context_length, manifest, read_json, seal
from inference.wheels import WheelPart, WheelSource
from inference.window import prompt_limit

__all__ = ["Entry", "context_length", "default_sampling", "entries", "fetch", "max_prompt_tokens", "resolve", "suited"]

AUTO = "auto"
# What is left of a machine's memory for a model.
_SHARE = 0.9
# Parameters at work on each token with which a machine without a GPU still writes about as fast as people read.
_QUICK_ON_CPU = 2_000_000_000
_SAMPLING = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Entry:
    """A model that can be had; sizes are bytes, `active` counts the parameters at work on a token; 0 is not known."""

    name: str
    title: str
    sources: tuple[Source, ...]
    licence: str = "not known"
    architecture: str = ""
    active: int = 0
    context_length: int = 0
    size: int = 0
    memory: int = 0
    sampling: SamplingParams | None = None
    is_default: bool = False

    @property
    def is_of_hub(self) -> bool:
        return all(isinstance(source, HubSource) for source in self.sources)

    def directory(self, data_dir: Path) -> Path:
        return data_dir / "models" / self.name

    def is_ready(self, data_dir: Path) -> bool:
        return (self.directory(data_dir) / MANIFEST).exists()

    def fits(self, machine: Machine) -> bool:
        """Whether a machine has the memory for it."""
        return self.memory <= _SHARE * machine.memory

    def suits(self, machine: Machine) -> bool:
        """Whether it fits, and is quick enough there to talk to."""
        return self.fits(machine) and (machine.has_gpu or self.active <= _QUICK_ON_CPU)

    def lacking_disk(self, data_dir: Path) -> int:
        """The bytes of disk that are missing to fetch it; none for one that is here."""
        if self.is_ready(data_dir):
            return 0
        place = next(place for place in (data_dir / "models", *(data_dir / "models").parents) if place.exists())
        return max(0, int(1.6 * self.size) - shutil.disk_usage(place).free)

    def fetch(self, data_dir: Path, progress: Progress) -> Path:
        """Make the ready directory; two processes at it at once share one download."""
        ready, workshop = self.directory(data_dir), data_dir / "models" / ".fetch" / self.name
        with _in_plain_words(workshop, self.size), _locked(workshop):
            if not self.is_ready(data_dir):
                self._make(ready, workshop, progress)
                shutil.rmtree(workshop)
        check(ready)
        return ready

    def _make(self, ready: Path, workshop: Path, progress: Progress) -> None:
        if missing := self.lacking_disk(ready.parents[1]):
            raise ModelError(f"The disk is full: {self.name} needs {missing / 1e9:.1f} GB more in {ready.parent}.")
        draft = workshop / "draft"
        for source in self.sources:
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir()
            try:
                revision, origin = source.fill(draft, workshop, progress), source.origin
                break
            except Unreachable:
                draft.rmdir()
                if source is self.sources[-1]:
                    raise
        check(draft)
        about: dict[str, Any] = {"name": self.name, "source": origin, "revision": revision, "licence": self.licence}
        if self.context_length:
            about["context_length"] = self.context_length
        if self.sampling:
            about["sampling"] = {key: getattr(self.sampling, key) for key in _SAMPLING}
        seal(draft, about, progress)
        shutil.rmtree(ready, ignore_errors=True)
        draft.rename(ready)


def resolve(choice: str, data_dir: Path) -> Path | None:
    """The ready directory for a choice ("" is the first default that is here), None when it is not fetched yet.

    "auto" is what the last fetch took. ModelError for a choice that means nothing and for a directory that is refused.
    """
    if choice == AUTO:
        choice = _note(data_dir).read_text() if _note(data_dir).exists() else ""
        if not choice:
            return None
    if Path(choice).is_dir() and choice:
        check(Path(choice))
        return Path(choice)
    for entry in _candidates(choice):
        if entry.is_ready(data_dir):
            check(entry.directory(data_dir))
            return entry.directory(data_dir)
    return None


def fetch(choice: str, data_dir: Path, progress: Progress) -> Path:
    """Get, verify and convert what `choice` names, unless it is here.

    For "" the first default that can be had; for "auto" the first that suits this machine, though a lesser one is here.
    """
    if choice == AUTO:
        candidates = suited(data_dir, Machine.own())
        if not candidates:
            raise ModelError("No model of the catalogue suits this machine; choose one by QWENWEB_MODEL.")
        ready = _first(candidates, data_dir, progress)
        _note(data_dir).write_text(ready.name)
        return ready
    return resolve(choice, data_dir) or _first(_candidates(choice), data_dir, progress)


def is_fetching(data_dir: Path) -> bool:
    """Whether some process gets a model into `data_dir` at this moment."""
    for path in (data_dir / "models" / ".fetch").glob("*.lock"):
        with suppress(FileNotFoundError), path.open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    return False


def suited(data_dir: Path, machine: Machine) -> list[Entry]:
    """What "auto" takes on a machine, the best first: the rest is for when that can't be had."""
    return [entry for entry in entries() if entry.suits(machine) and not entry.lacking_disk(data_dir)]


def _first(candidates: list[Entry], data_dir: Path, progress: Progress) -> Path:
    """The first of them that can be had; a hub that does not answer is asked once only."""
    unreachable: Unreachable | None = None
    for entry in candidates:
        if unreachable and entry.is_of_hub and not entry.is_ready(data_dir):
            continue
        try:
            return entry.fetch(data_dir, progress)
        except Unreachable as error:
            unreachable = error
    assert unreachable
    raise unreachable


@cache
def entries() -> list[Entry]:
    """All models of the catalogue, in its order."""
    content = tomllib.loads(Path(__file__).with_name("catalog.toml").read_text(encoding="utf-8"))
    return [_entry(dict(table)) for table in content["model"]]


def max_prompt_tokens(model_dir: Path) -> int:
    """The longest prompt an engine takes for this model; the prompter's own number, without loading its tokenizer."""
    return prompt_limit(context_length(model_dir))


def default_sampling(model_dir: Path) -> SamplingParams:
    """How this model is best sampled: by the catalogue, else by its own generation_config.json."""
    chosen = manifest(model_dir).get("sampling")
    if chosen is None and (model_dir / "generation_config.json").exists():
        chosen = read_json(model_dir / "generation_config.json")
    known = {key: value for key in _SAMPLING if (value := (chosen or {}).get(key))}
    return SamplingParams(**known)


def _note(data_dir: Path) -> Path:
    """Where it stands what "auto" took: processes that see another machine use the same model."""
    return data_dir / "models" / AUTO


def _candidates(choice: str) -> list[Entry]:
    if not choice:
        return [entry for entry in entries() if entry.is_default]
    named = [entry for entry in entries() if entry.name == choice]
    if named:
        return named
    path = Path(choice)
    if choice.endswith(".gguf"):
        if not path.is_file():
            raise ModelError(f"There is no file {choice}.")
        stamp = path.stat()
        key = hashlib.sha256(f"{path.resolve()} {stamp.st_size} {stamp.st_mtime_ns}".encode()).hexdigest()[:8]
        return [Entry(f"{path.stem}-{key}", path.stem, (FileSource(path),), size=2 * stamp.st_size)]
    if _HUB_ID.fullmatch(choice) and ".." not in choice:
        return [Entry(choice.replace("/", "--"), choice, (HubSource(choice),))]
    raise ModelError(f"There is no model {choice!r}; `manage.py models` lists those that there are.")


def _entry(table: dict[str, Any]) -> Entry:
    hubs = [HubSource(**source) for source in table.pop("hub", [])]
    wheels = [
        WheelSource(parts=tuple(WheelPart(**part) for part in source.pop("part")), **source)
        for source in table.pop("wheels", [])
    ]
    sampling = SamplingParams(**table.pop("sampling"))
    return Entry(sources=(*hubs, *wheels), sampling=sampling, **table)


@contextmanager
def _locked(workshop: Path) -> Iterator[None]:
    workshop.mkdir(parents=True, exist_ok=True)
    with (workshop.parent / f"{workshop.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        workshop.mkdir(exist_ok=True)
        try:
            yield
        finally:
            # What is left of a broken fetch is worth resuming, an empty directory is not.
            with suppress(OSError):
                workshop.rmdir()


@contextmanager
def _in_plain_words(place: Path, size: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ModelError("The disk is full: there is no room for the model.") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise ModelError(
                f"The model can't be kept: there is no permission to write into {place.parent}."
            ) from error
        raise ModelError(f"The model can't be kept: {place.parent} can't be used ({error.strerror}).") from error
