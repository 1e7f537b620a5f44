"""The documents say what is so: their links, settings, commands, files and example are checked."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.code import ROOT, variables
from tests.deploy.stack import Stack

DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
OF_THE_PROJECT = ("chat/", "docs/", "inference/", "qwenweb/", "tests/", "deploy/", "bench/", ".ci/", ".env.example")


def prose(document: Path) -> str:
    return re.sub(r"(?ms)^```.*?^```$", "", document.read_text())


def commands(document: Path) -> list[str]:
    blocks = re.findall(r"(?ms)^```sh\n(.*?)^```$", document.read_text())
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.partition(" #")[0].strip() for line in lines if line.strip()]


def anchors(document: Path) -> set[str]:
    titles = re.findall(r"(?m)^#+ (.+)$", prose(document))
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", prose(document)):
        path, _, anchor = target.partition("#")
        place = (document.parent / path).resolve() if path else document
        assert place.is_relative_to(ROOT), f"{target} leads out of the project"
        assert place.exists(), f"{target} leads nowhere"
        assert not anchor or anchor in anchors(place), f"{target} has no such part"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_are_named_exist(document: Path) -> None:
    for name in re.findall(r"`([\w./-]+)`", prose(document)):
        if name.startswith(OF_THE_PROJECT):
            assert (ROOT / name).exists(), name


def test_every_setting_is_explained_to_operators() -> None:
    text = (ROOT / "docs" / "operators.md").read_text()
    table = re.findall(r"(?m)^\| (`[A-Z].*?) \|", text)
    explained = set(re.findall(r"`(\w+)`", " ".join(table)))
    example = {name for name in Stack.read().examples if not name.endswith("_FILE")}
    assert explained == example
    assert explained >= set(variables())


def test_the_defaults_told_to_operators_are_those_of_the_code() -> None:
    text = (ROOT / "docs" / "operators.md").read_text()
    told = dict(re.findall(r"(?m)^\| `(\w+)` \| `([^`]+)` \|", text))
    defaults = {**Stack.read().examples, **{name: value for name, value in variables().items() if value}}
    assert {name: defaults[name] for name in told} == told


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_exist(document: Path) -> None:
    targets = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text()))
    services = set(Stack.read().services)
    for command in commands(document):
        if target := re.search(r"\bmake ([a-z-]+)", command):
            assert target[1] in targets, command
        for script in re.findall(r"\bsh (\S+/\S+)", command):
            assert (ROOT / script).exists(), command
        if service := re.search(r"docker compose exec (?:-T )?(\S+)", command):
            assert service[1] in services, command
        if stopped := re.search(r"docker compose (?:stop|logs) (?:-f )?(.+)$", command):
            assert services.issuperset(stopped[1].split()), command
        if name := re.search(r"manage\.py (\w+)", command):
            done = subprocess.run(
                [sys.executable, "manage.py", name[1], "--help"], cwd=ROOT, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr


def test_the_example_of_the_engine_runs() -> None:
    [example] = re.findall(r"(?ms)^```python\n(.*?)^```$", (ROOT / "docs" / "engine.md").read_text())
    # The scripted engine stands in for a model on disk.
    program = example.replace('catalog.resolve("", Path("var"))', "None")
    assert program != example
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("stop: 40 tokens")


def test_every_frame_of_the_socket_is_explained() -> None:
    sent = set()
    for name in ("hub", "feed", "stages", "consumers"):
        sent |= set(
            re.findall(r'"((?:reply|conversation|session)\.[a-z]+)"', (ROOT / "chat" / f"{name}.py").read_text())
        )
    text = (ROOT / "docs" / "reply-stream.md").read_text()
    assert {name for name in sent if f'"{name}"' not in text} == {"session.check", "reply.over"}, "hints, no frames"


def test_every_incident_of_others_has_tests_that_exist() -> None:
    rows = re.findall(r"(?m)^\| (\d+) \|(.*)\|$", (ROOT / "docs" / "incidents.md").read_text())
    assert [int(number) for number, _ in rows] == list(range(1, 44))
    tests = {
        name for file in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", file.read_text())
    }
    for number, row in rows:
        named = re.findall(r"`(test_\w+)`", row)
        assert named and set(named) <= tests, f"{number}: {set(named) - tests}"


def test_changes_have_a_part_for_what_comes_next() -> None:
    assert re.search(r"(?m)^## Unreleased$", (ROOT / "CHANGELOG.md").read_text())
