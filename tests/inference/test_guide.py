from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from tokenizers import Tokenizer

from inference.contract import Guide
from inference.guide import GuidedText, Guides, mask
from tests.inference.conftest import write_tokenizer

Check = Callable[[Any], bool]


class Model:
    """Random logits with a real tokenizer: what comes of them is owed to the guide alone."""

    def __init__(self, tokenizer: Tokenizer, vocab_size: int) -> None:
        self.tokenizer = tokenizer
        self.vocab_size = vocab_size
        named = (tokenizer.token_to_id(name) for name in ("<|im_end|>", "<|endoftext|>"))
        self.ends = {token for token in named if token is not None}
        self.guides = Guides(tokenizer, vocab_size, self.ends)
        self.control = sorted(tokenizer.get_added_tokens_decoder())
        # What a model never has reason to say gets the best logits of all.
        self.tempting = sorted({*self.control, *range(tokenizer.get_vocab_size(), vocab_size)} - self.ends)

    def open(self, guide: Guide, prefix: str = "") -> GuidedText:
        text = self.guides.open(guide)
        text.accept(*self.tokenizer.encode(prefix, add_special_tokens=False).ids)
        return text

    def allowed(self, text: GuidedText) -> set[int]:
        logits = torch.zeros(1, self.vocab_size)
        mask(logits, [text])
        return set((logits[0] == 0).nonzero().flatten().tolist())

    def grow(self, text: GuidedText, seed: int, is_whole: Check, so_far: str = "", num_tokens: int = 4000) -> str:
        """A whole answer by random choices; an end may be offered only where what is there is whole."""
        ids: list[int] = []
        random = torch.Generator().manual_seed(seed)
        while len(ids) < num_tokens and not text.is_done:
            logits = torch.randn(3, self.vocab_size, generator=random)
            logits[:, self.tempting] = 100.0
            free = logits[::2].clone()
            mask(logits, [None, text, None])
            assert not text.failure and torch.equal(logits[::2], free)
            can_end = bool((logits[1, list(self.ends)] > -torch.inf).any())
            token = int(torch.multinomial(logits[1].softmax(0), 1, generator=random))
            if can_end:
                assert is_whole(so_far + self.decode(ids))
            if token in self.ends:
                return so_far + self.decode(ids)
            ids.append(token)
            text.accept(token)
        assert text.is_done, f"no end in sight: {self.decode(ids)[-200:]}"
        assert self.allowed(text) == self.ends
        return so_far + self.decode(ids)

    def decode(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=False)


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    return Model(Tokenizer.from_file(str(folder / "tokenizer.json")), 272)


@pytest.fixture(scope="module", params=["tiny", pytest.param("real", marks=pytest.mark.model)])
def model(request: pytest.FixtureRequest, tiny_model: Model) -> Model:
    if request.param == "tiny":
        return tiny_model
    folder = request.getfixturevalue("real_model_dir")
    return Model(Tokenizer.from_file(str(folder / "tokenizer.json")), 151_936)


def schema(value: Any) -> Guide:
    return Guide("json_schema", json.dumps(value, ensure_ascii=False))


def regex(text: str) -> Guide:
    return Guide("regex", text)


def is_json(holds: Check) -> Check:
    """Whether a text is JSON of which `holds` is true."""

    def is_whole(text: str) -> bool:
        try:
            return bool(holds(json.loads(text)))
        except ValueError:
            return False

    return is_whole


NOTE = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "maxLength": 12},
        "stars": {"type": "integer", "minimum": 1, "maximum": 5},
        "tags": {"type": "array", "items": {"enum": ["rot", "grün", "红", "🙂"]}, "minItems": 1, "maxItems": 3},
        "place": {
            "type": "object",
            "properties": {"zip": {"type": "string", "pattern": "^[0-9]{5}$"}, "is_new": {"type": "boolean"}},
            "required": ["zip"],
            "additionalProperties": False,
        },
    },
    "required": ["title", "stars"],
    "additionalProperties": False,
}
TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "n": {"const": 1},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}, {"const": 0}, {"const": False}]},
            },
            "required": ["n", "next"],
            "additionalProperties": False,
        }
    },
}


def is_note(value: Any) -> bool:
    place = value.get("place", {"zip": "00000"})
    return (
        {"title", "stars"} <= set(value) <= {"title", "stars", "tags", "place"}
        and len(value["title"]) <= 12
        and value["stars"] in range(1, 6)
        and 1 <= len(value.get("tags", ["rot"])) <= 3
        and set(value.get("tags", [])) <= {"rot", "grün", "红", "🙂"}
        and re.fullmatch("[0-9]{5}", place["zip"]) is not None
        and isinstance(place.get("is_new", True), bool)
    )


def is_tree(value: Any) -> bool:
    return value in (None, 0, False) or (value["n"] == 1 and len(value) == 2 and is_tree(value["next"]))


SCHEMAS: dict[str, tuple[Any, Check]] = {
    "nested": (NOTE, is_note),
    "recursive": (TREE, lambda value: isinstance(value, dict) and is_tree(value)),
    "enum": (
        {"enum": ["北京", 'a"b\\c\n', 3, None, "\u0007"]},
        lambda value: value in ["北京", 'a"b\\c\n', 3, None, "\u0007"],
    ),
    "control names": ({"enum": ["<|im_start|>", "<think>"]}, lambda value: value in ["<|im_start|>", "<think>"]),
    "string": ({"type": "string", "minLength": 3, "maxLength": 9}, lambda value: 3 <= len(value) <= 9),
    "chinese": (
        {"type": "string", "pattern": "^[一-龥]{2,4}🙂?$"},
        lambda v: re.fullmatch("[一-龥]{2,4}🙂?", v) is not None,
    ),
    "number": (
        {"type": "number", "minimum": -1.5, "maximum": 20},
        lambda value: type(value) in (int, float) and -1.5 <= value <= 20,
    ),
    "multiple": ({"type": "integer", "multipleOf": 7, "minimum": 0, "maximum": 700}, lambda value: value % 7 == 0),
    "tuple": (
        {"type": "array", "prefixItems": [{"type": "boolean"}, {"type": "null"}], "items": False, "minItems": 2},
        lambda value: isinstance(value[0], bool) and value[1:] == [None],
    ),
    "map": (
        {
            "type": "object",
            "patternProperties": {"^[a-zé]{1,4}$": {"enum": [1, 2]}},
            "additionalProperties": False,
            "minProperties": 1,
            "maxProperties": 3,
        },
        lambda value: (
            value and set(value.values()) <= {1, 2} and all(re.fullmatch("[a-zé]{1,4}", key) for key in value)
        ),
    ),
    "date": ({"type": "string", "format": "date"}, lambda v: re.fullmatch(r"\d{4}-\d\d-\d\d", v) is not None),
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_whatever_the_model_wants_its_answer_follows_the_schema(model: Model, name: str) -> None:
    asked, holds = SCHEMAS[name]
    answers = {model.grow(model.open(schema(asked)), seed, is_json(holds)) for seed in range(6)}
    assert all(is_json(holds)(answer) for answer in answers)
    assert len(answers) > 1


@pytest.mark.parametrize(
    "expression",
    [
        r"[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])",
        r"\+[1-9][0-9]{1,2} [0-9]{3,4}[ /-][0-9]{4,8}",
        r"yes|no|maybe (?:later|never)",
        r"[一-龥]{2,6}(，[一-龥]{2,6})?。",
        r"(?i)grüße, (welt|monde)[!.]{1,3}",
        r"^#[0-9a-f]{6}\n?$",
        r"(🙂|🙃){1,4}\\\"/",
    ],
)
def test_whatever_the_model_wants_its_answer_matches_the_expression(model: Model, expression: str) -> None:
    def matches(text: str) -> bool:
        return re.fullmatch(expression, text) is not None

    answers = {model.grow(model.open(regex(expression)), seed, matches) for seed in range(6)}
    assert all(map(matches, answers))
    assert len(answers) > 1


def test_an_answer_goes_on_from_what_is_shown_already(model: Model) -> None:
    shown = '{"title": "你'
    whole = model.grow(model.open(schema(NOTE), shown), 1, is_json(is_note), shown)
    assert whole.startswith(shown) and is_json(is_note)(whole)
    done = model.open(regex("你好|你们"), "你好")
    assert done.is_done and model.allowed(done) == model.ends


def test_text_that_contradicts_the_guide_ends_its_own_reply_only(tiny_model: Model) -> None:
    lost, good = tiny_model.open(regex("[0-9]+"), "12x"), tiny_model.open(regex("[0-9]"))
    assert lost.failure and not lost.is_done and not good.failure
    logits = torch.zeros(2, tiny_model.vocab_size)
    mask(logits, [lost, good])
    assert not logits[0].any() and (logits[1] == 0).sum() == 10
    lost.accept(1)
    assert lost.failure


def test_control_tokens_are_never_allowed_although_their_names_are(model: Model) -> None:
    text = model.open(schema({"type": "string"}), '"')
    assert not model.allowed(text) & {*model.control, *model.tempting}
    text.accept(*(token for letter in "<|im_end|>" for token in model.tokenizer.encode(letter).ids))
    assert not text.failure and not model.allowed(text) & {*model.control, *model.tempting}


def test_rows_without_a_guide_are_left_alone(tiny_model: Model) -> None:
    logits = torch.randn(4, tiny_model.vocab_size)
    before = logits.clone()
    mask(logits, [None] * 4)
    assert torch.equal(logits, before)
    mask(logits, [None, tiny_model.open(regex("a")), None, tiny_model.open(regex("b"))])
    assert torch.equal(logits[::2], before[::2])
    assert [tiny_model.decode([int(row.argmax())]) for row in logits[1::2]] == ["a", "b"]


def test_logits_keep_their_number_format(tiny_model: Model) -> None:
    logits = torch.randn(1, tiny_model.vocab_size).bfloat16()
    mask(logits, [tiny_model.open(regex("a|b"))])
    assert logits.dtype == torch.bfloat16 and logits.isfinite().sum() == 2


@pytest.mark.parametrize(
    ("guide", "sentence"),
    [
        (Guide("json_schema", "{"), "The JSON schema is not valid JSON."),
        (Guide("json_schema", '{"a":' * 5_000), "The JSON schema is not valid JSON."),
        (Guide("json_schema", "[1]"), "The JSON schema is not a JSON object."),
        (schema({"type": "strin"}), "The JSON schema names a type that does not exist: strin."),
        (schema({"not": {}, "if": {}}), "The JSON schema has keywords that can't be followed here: if, not."),
        (
            schema({"not": {}, "x-guidance": {"lenient": True}}),
            "The JSON schema has keywords that can't be followed here: not.",
        ),
        (
            schema({"type": "string", "format": "hieroglyph"}),
            "The JSON schema has a format that can't be followed here: hieroglyph.",
        ),
        (schema({"$ref": "https://example.com/a.json"}), "The JSON schema refers to another document."),
        (schema({"$ref": "file:///etc/passwd"}), "The JSON schema refers to another document."),
        (schema({"$ref": "#/nowhere"}), "The JSON schema refers to a part that it does not have."),
        (schema({"$ref": "#"}), "The JSON schema can't be met by any text."),
        (schema({"type": "string", "minLength": 2, "maxLength": 1}), "The JSON schema can't be met by any text."),
        (schema({"type": "string", "pattern": "(a"}), "The JSON schema is not valid: unclosed group."),
        (
            schema({"oneOf": [{"type": "string"}, {"minLength": 2}]}),
            "The JSON schema has a oneOf that can't be followed here; anyOf can.",
        ),
        (schema({"type": "integer", "multipleOf": 999_983}), "The JSON schema has too large a multipleOf."),
        (schema({"type": "number", "multipleOf": 1234.5678}), "The JSON schema has too large a multipleOf."),
        (
            schema({"allOf": [{"type": "integer", "multipleOf": prime} for prime in (97, 101, 103, 107)]}),
            "The JSON schema has too large a multipleOf.",
        ),
        (Guide("json_schema", '{"multipleOf": Infinity}'), "The JSON schema is not valid JSON."),
        (schema({"enum": ["a" * 100_000]}), "The JSON schema is longer than 100,000 characters."),
        (regex("(a"), "The regular expression is not valid: unclosed group."),
        (regex("a\\"), "The regular expression is not valid: it ends in a backslash."),
        (regex(r"(a)\1"), "The regular expression is not valid: backreferences are not supported."),
        (regex("(?=a)b"), "The regular expression looks ahead or back, which can't be followed here."),
        (regex(r"\bword"), "The regular expression looks ahead or back, which can't be followed here."),
        (regex(r"[^\s\S]"), "The regular expression can't be met by any text."),
        (regex("a" * 100_001), "The regular expression is longer than 100,000 characters."),
    ],
)
def test_what_cannot_be_followed_is_refused_in_a_sentence(tiny_model: Model, guide: Guide, sentence: str) -> None:
    with pytest.raises(ValueError) as refused:
        tiny_model.guides.open(guide)
    assert str(refused.value) == sentence


def chain(num_links: int, link: Callable[[dict[str, str]], Any]) -> dict[str, Any]:
    """A schema in which each part refers to the one before."""
    parts = {f"p{i + 1}": link({"$ref": f"#/$defs/p{i}"}) for i in range(num_links)}
    return {"$ref": f"#/$defs/p{num_links}", "$defs": {"p0": {"type": "integer"}, **parts}}


HOSTILE = [
    regex("(a|b)*a(a|b){25}"),
    regex("((((a*)*)*)*)*b"),
    regex("((a{1,1000}){1,1000}){1,1000}"),
    regex("a{4000000000}"),
    regex("x[ab](((((x{9}){9}){9}){9}){9}){9}"),
    regex("(" * 240 + "a" + ")" * 240),
    regex("(" * 40_000 + "a" + ")" * 40_000),
    regex(r"(\p{L}{1,50}\p{N}{1,50}){1,50}"),
    regex(r"(.|\n)*[a-m](.|\n){30}"),
    regex("|".join(f"{i * 2654435761 % 2**32:x}" for i in range(9_000))),
    schema(chain(30, lambda part: {"allOf": [part, part]})),
    schema(chain(25, lambda part: {"type": "array", "prefixItems": [part, part]})),
    schema({"allOf": [{"anyOf": [{"required": [f"p{i}{j}"]} for j in range(2)]} for i in range(24)]}),
    schema({"type": "integer", "multipleOf": 47 * 1009}),
    Guide("json_schema", '{"type": "number", "multipleOf": 1e400}'),
    schema({"type": "array", "items": {"type": "integer"}, "minItems": 10**9}),
    schema({"type": "string", "minLength": 10**6, "maxLength": 10**9}),
    schema({"properties": {f"p{i}": {"type": "string"} for i in range(2_000)}, "additionalProperties": False}),
    schema({"enum": [f"{i} {i * 7919}" for i in range(5_000)]}),
    Guide("json_schema", '{"type":"array","items":' * 120 + "{}" + "}" * 120),
]


@pytest.mark.parametrize("guide", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_guide_is_followed_or_refused_and_takes_little(model: Model, guide: Guide) -> None:
    model.guides.open(regex("a"))
    before = psutil.Process().memory_info().rss
    random = torch.Generator().manual_seed(1)
    with contextlib.suppress(ValueError):
        text = model.guides.open(guide)
        for _ in range(60):
            logits = torch.randn(1, model.vocab_size, generator=random)
            mask(logits, [text])
            token = int(logits[0].argmax())
            if text.failure or token in model.ends:
                break
            text.accept(token)
    assert psutil.Process().memory_info().rss - before < 200 * 2**20


def test_answers_that_are_over_keep_no_memory(tiny_model: Model) -> None:
    def answer() -> None:
        tiny_model.allowed(tiny_model.open(schema(NOTE), '{"title": "'))

    for _ in range(50):
        answer()
    before = psutil.Process().memory_info().rss
    for _ in range(1_000):
        answer()
    assert psutil.Process().memory_info().rss - before < 30 * 2**20


def test_many_threads_open_their_first_guide_together(tiny_model: Model) -> None:
    guides = Guides(tiny_model.tokenizer, tiny_model.vocab_size, tiny_model.ends)
    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(guides.open, [regex(f"{i}") for i in range(8)]))
    logits = torch.zeros(8, tiny_model.vocab_size)
    mask(logits, texts)
    assert tiny_model.decode(logits.argmax(1).tolist()) == "01234567"


def test_the_library_is_loaded_with_the_first_guide_only(tiny_model: Model, tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    script = (
        "import sys; from tokenizers import Tokenizer; from inference.guide import Guides, mask; import torch;"
        "guides = Guides(Tokenizer.from_file(sys.argv[1]), 272, {257, 258}); mask(torch.zeros(1, 272), [None]);"
        "print('llguidance' in sys.modules)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "tokenizer.json")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"
