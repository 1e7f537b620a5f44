"""Where the stack puts things, and what it makes once."""

from __future__ import annotations

from pathlib import Path

import pytest

from qwenweb.up import devices, install
from qwenweb.up.data import Data
from qwenweb.up.socket_dir import make_private, socket_dir


def test_sockets_lie_in_the_data_directory_when_its_name_is_short(tmp_path: Path) -> None:
    assert socket_dir(Path("/srv/qwenweb")) == Path("/srv/qwenweb/run")


@pytest.mark.parametrize("name", ["/srv/" + "x" * 90, "/srv/our data", "/srv/a,b", "/srv/数据"])
def test_sockets_lie_under_tmp_when_it_is_long_or_odd(name: str) -> None:
    place = socket_dir(Path(name))
    assert place.parent == Path("/tmp")
    assert place == socket_dir(Path(name)) != socket_dir(Path(name + "x"))


def test_a_private_directory_is_closed_to_others(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    make_private(tmp_path / "open")
    assert (tmp_path / "open").stat().st_mode & 0o777 == 0o700


def test_the_secret_key_is_made_once(tmp_path: Path) -> None:
    with Data(tmp_path / "data") as data:
        key = data.secret_key.read_text()
    assert len(key) >= 64
    with Data(tmp_path / "data") as data:
        assert data.secret_key.read_text() == key


def test_the_logs_of_the_last_run_are_put_aside(tmp_path: Path) -> None:
    with Data(tmp_path / "data") as data:
        data.log("web").write_text("first run")
    with Data(tmp_path / "data") as data:
        assert not data.log("web").exists()
    assert (tmp_path / "data" / "log" / "web.log.1").read_text() == "first run"


def test_every_visible_gpu_has_a_worker_else_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert devices.names() == ["cuda:0", "cuda:1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices.names() == ["cpu"]


def test_the_cpu_build_of_torch_is_asked_for_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "has_nvidia_gpu", lambda: False)
    assert install._torch_builds() == ["torch==2.13.0+cpu", "torch==2.13.0"]
    monkeypatch.setattr(install, "has_nvidia_gpu", lambda: True)
    assert install._torch_builds() == ["torch==2.13.0,!=2.13.0+cpu"]


@pytest.mark.parametrize(
    ("machine", "libc", "can"),
    [
        ("x86_64", ("glibc", "2.36"), True),
        ("x86_64", ("glibc", "2.34"), False),
        ("x86_64", ("", ""), False),
        ("aarch64", ("glibc", "2.41"), False),
    ],
)
def test_the_renderer_of_diagrams_is_installed_where_it_runs(
    monkeypatch: pytest.MonkeyPatch, machine: str, libc: tuple[str, str], can: bool
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("platform.libc_ver", lambda: libc)
    assert install.draws_diagrams() == can


def test_the_lock_names_every_package_once_with_its_version() -> None:
    lines = [line for line in (install.ROOT / "requirements.lock").read_text().splitlines() if line[:1].isalnum()]
    names = [line.split("==")[0] for line in lines]
    assert len(set(names)) == len(names) <= 120
    assert not any(name.startswith(("nvidia", "triton")) for name in names)
