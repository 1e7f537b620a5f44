"""Where model files come from; each source fills an empty directory with a complete model."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, Protocol

from inference.errors import ModelError
from inference.weights import Progress, refuse_code, sha256

if TYPE_CHECKING:
    from huggingface_hub import ModelInfo

HUB_PATIENCE_S = 4.5
_SMALL = (".json", ".txt", ".jinja")


class Unreachable(ModelError):
    """This source can't be had from here; another one may."""


class Source(Protocol):
    @property
    def origin(self) -> str:
        """What it gives, for people."""

    def fill(self, into: Path, workshop: Path, progress: Progress) -> str:
        """Put a model into `into`, keeping what is worth resuming in `workshop`; return its revision."""


@dataclass(frozen=True)
class HubSource:
    """Safetensors from the Hugging Face Hub."""

    repository: str
    revision: str = "main"

    @property
    def origin(self) -> str:
        return self.repository

    def fill(self, into: Path, workshop: Path, progress: Progress) -> str:
        cache = None if os.environ.keys() & {"HF_HOME", "HF_HUB_CACHE"} else workshop / "hub"
        try:
            info = self._look_up()
        except Unreachable:
            self._link(
                self._snapshot(self.revision, [f"*{end}" for end in (*_SMALL, ".safetensors")], cache, True), into
            )
            return self.revision
        files = {file.rfilename: file for file in info.siblings or [] if "/" not in file.rfilename}
        small = [name for name in files if name.endswith(_SMALL)]
        weights = [name for name in files if name.endswith(".safetensors")]
        if not weights:
            raise ModelError(f"{self.repository} has no safetensors weights; other formats are not loaded.")
        commit = info.sha or self.revision
        refuse_code(self._snapshot(commit, small, cache))
        with self._watched(cache, sum(files[name].size or 0 for name in small + weights), progress):
            snapshot = self._snapshot(commit, small + weights, cache)
        for name in small + weights:
            size, lfs = files[name].size, files[name].lfs
            path = snapshot / name
            if (size is not None and path.stat().st_size != size) or (lfs and sha256(path) != lfs.sha256):
                path.resolve().unlink()
                raise ModelError(f"{name} arrived damaged from the hub; fetch it again.")
        self._link(snapshot, into)
        return commit

    def _look_up(self) -> ModelInfo:
        """Ask the hub for the files; a thread, as a name server that is silent heeds no time limit."""
        from huggingface_hub import HfApi
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

        answer: list[ModelInfo | Exception] = []

        def ask() -> None:
            try:
                api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
                answer.append(
                    api.model_info(
                        self.repository, revision=self.revision, timeout=HUB_PATIENCE_S - 0.5, files_metadata=True
                    )
                )
            except Exception as error:
                answer.append(error)

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(HUB_PATIENCE_S)
        match answer:
            case [GatedRepoError()]:
                raise ModelError(f"{self.repository} is only given to signed-in users of the hub; set HF_TOKEN.")
            case [RepositoryNotFoundError() | RevisionNotFoundError()]:
                raise ModelError(f"The hub has no model {self.repository} at {self.revision}.")
            case [Exception()] | []:
                raise Unreachable("The Hugging Face Hub can't be reached from this machine.")
            case [info]:
                return info  # type: ignore[return-value]
        raise AssertionError

    def _snapshot(self, revision: str, names: list[str], cache: Path | None, is_local: bool = False) -> Path:
        from huggingface_hub import snapshot_download
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()
        try:
            path = snapshot_download(
                self.repository,
                revision=revision,
                allow_patterns=names,
                cache_dir=cache,
                endpoint=os.environ.get("HF_ENDPOINT"),
                local_files_only=is_local,
            )
        except OSError as error:
            if error.errno is not None:
                raise
            raise Unreachable("The Hugging Face Hub can't be reached from this machine.") from error
        except Exception as error:
            raise Unreachable("The download from the Hugging Face Hub broke off.") from error
        return Path(path)

    @contextmanager
    def _watched(self, cache: Path | None, total: int, progress: Progress) -> Iterator[None]:
        """Report how the files grow while the block runs."""
        from huggingface_hub.constants import HF_HUB_CACHE
        from huggingface_hub.file_download import repo_folder_name

        folder = Path(cache or HF_HUB_CACHE) / repo_folder_name(repo_id=self.repository, repo_type="model") / "blobs"
        done = threading.Event()

        def watch() -> None:
            while not done.wait(0.25):
                progress("download", min(tree_size(folder), total), total)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
        progress("download", total, total)

    @staticmethod
    def _link(snapshot: Path, into: Path) -> None:
        """Share the bytes with the hub's cache where both lie on one disk."""
        for file in snapshot.iterdir():
            if file.name.endswith((*_SMALL, ".safetensors")):
                try:
                    os.link(file.resolve(), into / file.name)
                except OSError:
                    shutil.copyfile(file, into / file.name)


@dataclass(frozen=True)
class FileSource:
    """A GGUF file on this machine."""

    path: Path

    @property
    def origin(self) -> str:
        return self.path.name

    def fill(self, into: Path, workshop: Path, progress: Progress) -> str:
        from inference.conversion import convert

        convert(self.path, into, progress)
        return sha256(self.path)


def tree_size(folder: Path) -> int:
    """Bytes of the files below a folder that others may be changing."""
    total = 0
    # Files and whole folders may be renamed or gone by now; os.walk, unlike rglob, passes over those.
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                stat = Path(parent, name).lstat()
                total += stat.st_size if S_ISREG(stat.st_mode) else 0
    return total
