"""Guided output: which tokens may come next, so that an answer follows a JSON schema or a regular expression.

    guides = Guides(tokenizer, vocab_size, ends)
    text = guides.open(request.guide)          # ValueError: a sentence for people
    text.accept(*prefix_ids)                   # what of the answer is there already
    mask(logits, [None, text, None])           # before the tokens are chosen
    text.accept(token)                         # the one that was chosen
    if text.failure: ...                       # this reply ends as an error
    if text.is_done: ...                       # this reply ends with reason stop

Reasoning is not guided: a guide begins where the answer begins.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import cache, cached_property
from math import isfinite, lcm
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import torch
from tokenizers import Tokenizer

from inference.contract import Guide

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

_NAMES = {"json_schema": "JSON schema", "regex": "regular expression"}
_MAX_CHARACTERS = 100_000
# Divisors cost time that the library does not bound: 50,000 take most of a second, in one number, in many, or
# multiplied where several hold for one value.
_MAX_DIVISORS = 50_000
# A model in doubt writes white space for ever if it may; this is enough to indent deeply.
_JSON_OPTIONS = {"whitespace_pattern": r"[ \t\r\n]{1,80}"}
# Looking ahead for what is forced has no use here, and takes the longer the more of it there is.
_OPTIONS = '%llguidance {"no_forcing": true}'
# 100,000 states are 100 MB for one answer at most; common schemas need some hundred.
_MAX_STATES = 100_000

_LOST = "The answer can't be made to look as it was asked to."
_TOO_COMPLEX = "is too complex"
_IMPOSSIBLE = "can't be met by any text"
# What the library says of a guide that it refuses, and what we say.
_REASONS = (
    (r"Unimplemented keys: \[(.+)\]", "has keywords that can't be followed here: {}"),
    (r"Unknown format: (.+)", "has a format that can't be followed here: {}"),
    (r"Invalid type: (.+)", "names a type that does not exist: {}"),
    (r"oneOf", "has a oneOf that can't be followed here; anyOf can"),
    (r"not present in a registry", "refers to another document"),
    (r"Pointer .* does not exist", "refers to a part that it does not have"),
    (r"[Uu]nsatisfiable|schema is false|NoExtension", _IMPOSSIBLE),
    (r"maximum number of nested|regex exceeds|size limit", _TOO_COMPLEX),
    (r"look-?around", "looks ahead or back, which can't be followed here"),
    (r"error: (.+)", "is not valid: {}"),
    (r"too (?:big|large|many)|fuel|[Tt]oo ?[Cc]omplex|recursion limit", _TOO_COMPLEX),
)


class Guides:
    """Opens guides for one model; safe to use from several threads.

    `vocab_size` is the width of the logits, which may exceed the tokenizer's; `ends` are the tokens that end a reply.
    The first guide takes a second and 120 MB, a model that is never guided takes neither.
    """

    def __init__(self, tokenizer: Tokenizer, vocab_size: int, ends: set[int]) -> None:
        self._tokenizer = tokenizer
        self._vocab_size = vocab_size
        self._ends = sorted(ends)

    def open(self, guide: Guide) -> GuidedText:
        """The beginning of one answer; ValueError, with a sentence for people, for what can't be followed."""
        try:
            text = GuidedText(self._match(guide), self._allowed)
            text.rehearse()
        except _Refused as refused:
            raise ValueError(f"The {_NAMES[guide.kind]} {refused}.") from None
        return text

    def _match(self, guide: Guide) -> LLMatcher:
        from llguidance import LLMatcher, LLParserLimits, regex_to_lark

        if len(guide.text) > _MAX_CHARACTERS:
            raise _Refused(f"is longer than {_MAX_CHARACTERS:,} characters")
        if guide.kind == "regex":
            if re.search(r"(?<!\\)(\\\\)*\\\Z", guide.text):
                raise _Refused("is not valid: it ends in a backslash")
            rule = f"/{regex_to_lark(guide.text, use_ascii='')}/"
        else:
            rule = "%json " + json.dumps(_schema(guide.text) | {"x-guidance": _JSON_OPTIONS})
        limits = LLParserLimits(max_lexer_states=_MAX_STATES, verbose_errors=False)
        matcher = LLMatcher(self._tokens, f"{_OPTIONS}\nstart: {rule}", log_level=0, limits=limits)
        if matcher.is_error():
            raise _Refused.by(matcher.get_error())
        return matcher

    @cached_property
    def _tokens(self) -> LLTokenizer:
        from llguidance import LLTokenizer

        return LLTokenizer(self._tokenizer.to_str(), n_vocab=self._vocab_size, eos_token=self._ends)

    @cached_property
    def _allowed(self) -> torch.Tensor:
        """A bit for each token that text may hold or end with: all but the control tokens."""
        allowed = np.ones(-(-self._vocab_size // 32) * 32, dtype=bool)
        allowed[list(self._tokenizer.get_added_tokens_decoder())] = False
        allowed[self._ends] = True
        return torch.from_numpy(np.packbits(allowed, bitorder="little").view(np.int32))


class GuidedText:
    """One answer as it grows; for one thread at a time. `failure` says, in a sentence, why it can't go on."""

    def __init__(self, matcher: LLMatcher, allowed: torch.Tensor) -> None:
        self._matcher = matcher
        self._allowed = allowed
        self.failure = ""

    @property
    def is_done(self) -> bool:
        """Whether the answer is whole, and nothing but an end token may follow."""
        return not self.failure and self._matcher.is_stopped()

    def accept(self, *tokens: int) -> None:
        """Go on by these tokens."""
        if not self._matcher.consume_tokens(list(tokens)):
            self.failure = _LOST

    def allowed(self) -> torch.Tensor:
        """A bit for each token that may come next, in int32 words on the CPU."""
        bits = torch.empty_like(self._allowed)
        self._matcher.unsafe_compute_mask_ptr(bits.data_ptr(), bits.nbytes)
        bits &= self._allowed
        if self._matcher.is_error() or not bits.any():
            self.failure = _LOST
        return bits

    def rehearse(self) -> None:
        """Try what comes first, so that a guide which breaks there is refused before anything is computed."""
        self.allowed()
        if self.failure:
            raise _Refused.by(self._matcher.get_error())


def mask(logits: torch.Tensor, texts: Sequence[GuidedText | None]) -> None:
    """Set what may not come next to -inf in `logits` [rows, vocab_size]; a row whose text is None stays as it is.

    So does the row of a text that fails. Called while a CUDA device still makes the logits, most of it costs no time.
    """
    bits = {row: text.allowed() for row, text in enumerate(texts) if text and not text.failure}
    rows = [row for row, text in enumerate(texts) if row in bits and text and not text.failure]
    if rows:
        packed = torch.stack([bits[row] for row in rows])
        biases = _biases(packed.to(logits.device), logits.shape[1], logits.dtype)
        logits.index_add_(0, torch.tensor(rows, device=logits.device), biases)


def _biases(bits: torch.Tensor, width: int, dtype: torch.dtype) -> torch.Tensor:
    """0 for each bit that is set, -inf for the others: bits [rows, words] to [rows, width]."""
    # Looking up eight at once takes a third of the time that masked_fill_ does.
    eights = _eights(bits.device, dtype).index_select(0, bits.view(torch.uint8).flatten().int())
    return eights.view(len(bits), -1)[:, :width]


@cache
def _eights(device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """What each of the 256 bytes means."""
    bits = (torch.arange(256)[:, None] >> torch.arange(8)) & 1
    return torch.zeros(256, 8).masked_fill_(bits == 0, -torch.inf).to(device, dtype)


class _Refused(Exception):
    """What is wrong with a guide, as the end of a sentence."""

    @classmethod
    def by(cls, said: str) -> _Refused:
        for pattern, reason in _REASONS:
            if found := re.search(pattern, said):
                return cls(reason.format(*(group.replace('"', "") for group in found.groups())))
        return cls("can't be followed here")


def _schema(text: str) -> dict[str, Any]:
    try:
        schema = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise _Refused("is not valid JSON") from None
    if not isinstance(schema, dict):
        raise _Refused("is not a JSON object")
    divisors = list(_divisors(schema))
    if max(sum(divisors), lcm(*divisors)) > _MAX_DIVISORS:
        raise _Refused("has too large a multipleOf")
    return schema


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)


def _divisors(schema: Any) -> Iterator[int]:
    """The digits of each multipleOf that stand there, without zeros around them: 25 for 0.25 and for 2500."""
    parts = [schema]
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            value = part.get("multipleOf")
            if isinstance(value, int | float) and value and isfinite(value):
                yield int("".join(map(str, Decimal(repr(value)).normalize().as_tuple().digits)))
            parts += part.values()
        elif isinstance(part, list):
            parts += part
