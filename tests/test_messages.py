"""Every word of the page is there in every language, and the compiled catalogues are those of the sources."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from django.conf import settings
from django.utils import translation

from chat import failures, held
from inference import run
from inference.contract import Failure
from qwenweb.messages import LOCALE, ROOT, collected, compiled, read, untranslated, written

CATALOGUES = sorted(LOCALE.glob("*/LC_MESSAGES/django.po"))
PLACE = re.compile(r"%d|%\(\w+\)s|\{[\w:,]*\}")


@pytest.fixture(params=CATALOGUES, ids=lambda path: path.parent.parent.name)
def po(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_every_language_but_english_has_a_catalogue() -> None:
    offered = {translation.to_locale(code) for code, _ in settings.LANGUAGES} - {"en"}
    assert {path.parent.parent.name for path in CATALOGUES} == offered


def test_a_catalogue_has_exactly_what_the_page_says_and_all_of_it_translated(po: Path) -> None:
    catalog = read(po)
    assert {message.id for message in catalog} - {""} == {message.id for message in collected()} - {""}
    assert untranslated(catalog) == []
    assert po.read_bytes() == written(catalog), "run make messages"


def test_the_compiled_catalogue_is_that_of_its_source(po: Path) -> None:
    assert po.with_suffix(".mo").read_bytes() == compiled(read(po)), "run make messages"


def pairs(catalog: Catalog) -> Iterator[tuple[str, str]]:
    """Each sentence with its translation; of several forms the fullest."""
    for message in catalog:
        if message.id:
            one = message.id if isinstance(message.id, str) else message.id[-1]
            string = message.string if isinstance(message.string, str) else (message.string or [""])[-1]
            yield one, string or ""


def test_translations_keep_the_places_for_values_and_are_no_markup(po: Path) -> None:
    for words, translated in pairs(read(po)):
        assert sorted(PLACE.findall(words)) == sorted(PLACE.findall(translated)), words
        assert not set("<>&\"'`") & set(translated), translated


def test_what_is_missing_is_found() -> None:
    catalog = Catalog()
    catalog.add("said", "gesagt")
    catalog.add("not said")
    catalog.add(("one", "many"), ("eins", ""))
    assert untranslated(catalog) == ["not said", "('one', 'many')"]


@pytest.mark.parametrize("path", sorted((ROOT / "templates").rglob("*.*")), ids=lambda path: path.name)
def test_templates_say_nothing_untranslated(path: Path) -> None:
    text = re.sub(r"(?s){% (blocktranslate).*?{% end\1 %}", "", path.read_text())
    text = re.sub(r"(?s){%.*?%}|{{.*?}}|{#.*?#}", "", text)
    said = [*re.findall(r'(?:aria-label|title|placeholder|alt)="([^"]*)"', text), re.sub(r"(?s)<[^>]*>", " ", text)]
    words = re.findall(r"[A-Za-z]{2,}", " ".join(said))
    assert set(words) <= {"qwenweb", "CSV"}


def bare_sentences(path: Path) -> list[str]:
    """What is said to people by exceptions and stages, but goes past gettext."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        if name in {"Refused", "BadFrame", "ValidationError", "Stage"}:
            assert isinstance(node, ast.Call)
            said = [argument for argument in node.args if isinstance(argument, ast.JoinedStr | ast.Constant)]
            found += [ast.unparse(words) for words in said if " " in ast.unparse(words)]
    return found


def test_python_says_nothing_untranslated() -> None:
    assert [words for path in (ROOT / "chat").rglob("*.py") for words in bare_sentences(path)] == []


def test_scripts_take_their_sentences_from_the_page() -> None:
    scripts = {path.name: path.read_text() for path in (ROOT / "static" / "js").glob("*.js")}
    code = {name: re.sub(r"(?s)/\*.*?\*/|(?m:^\s*//[^\n]*$)", "", text) for name, text in scripts.items()}
    sentences = {name: re.findall(r"""["`']([A-Z][a-z]+(?: [\w$]+)*[.…]?)["`']""", text) for name, text in code.items()}
    keys = {"Enter", "Escape", "ArrowUp", "Semicolon", "Tab", "Home"}
    assert {name: said for name, said in sentences.items() if set(said) - keys} == {}
    used = {name for text in code.values() for name in re.findall(r'\b(?:text|words)\(["`]([\w-]+)', text)}
    offered = set(re.findall(r'data-text="([\w-]+)"', (ROOT / "templates/chat/_texts.html").read_text()))
    assert {name for name in offered if not name.startswith("end-")} == used - {"end-"}
    assert {name for name in offered if name.startswith("end-")} == {
        f"end-{status}" for status in ("completed", "stopped", "failed", "interrupted")
    }


def test_what_engines_say_of_failures_is_known() -> None:
    parts = [*vars(run).values(), *vars(held).values()]
    said = [failure.message for failure in parts if isinstance(failure, Failure)]
    assert len(said) > 3
    with translation.override("zh-hans"):
        for sentence in [*said, run.too_long(1004, 75).message]:
            assert failures.in_words(sentence) != sentence
        assert failures.in_words(run.too_long(12_345, 75).message) == "消息有 12,345 个 token，模型最多接受 75 个。"
        assert failures.in_words("Something new happened 3 times.") == "Something new happened 3 times."
    assert failures.in_words(run.too_long(1004, 75).message) == run.too_long(1004, 75).message
