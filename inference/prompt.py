"""Conversations to token ids: the model's own chat template, exact counts, fitting into the context window."""

from __future__ import annotations

import ctypes
import json
import re
from array import array
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NoReturn

import jinja2
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from inference.contract import ChatMessage, Prefix
from inference.errors import ModelError, PromptTooLong
from inference.weights import context_length, read_json
from inference.window import REPLY_TOKENS, ChatPrompter, Messages, Prompt, fit, prompt_limit

__all__ = ["ChatPrompter", "Prompt", "PromptTooLong", "Prompter"]

NEWLINE = "\n"
NO_PREFIX = Prefix()

# A conversation is encoded again with every message, and several times to find out what fits.
_KEPT_PIECES = 2048
_KEPT_LENGTH = 4096

# A private character that marks places where a message holds the name of a control token.
_MARK = "\ue0ff"


class Prompter:
    """Builds prompts for one model directory; safe to use from several threads.

    Control tokens come from the chat template alone. What a person writes is encoded without them, so "<|im_end|>"
    in a message is plain text to the model, while everything else gets the ids the model was trained on.
    """

    def __init__(self, model_dir: Path) -> None:
        self._template = _Template(model_dir)
        self._tokens = _Tokens(model_dir / "tokenizer.json")
        self.context_length = context_length(model_dir)
        self.max_prompt_tokens = prompt_limit(self.context_length)

    def limit_context(self, context_length: int) -> None:
        """Serve conversations of at most so many tokens, where memory or an operator sets the limit."""
        self.context_length = min(self.context_length, context_length)
        self.max_prompt_tokens = prompt_limit(self.context_length)

    def count(self, messages: Messages, enable_thinking: bool | None = None) -> int:
        """The exact number of prompt tokens of these messages, chat template included."""
        return len(self._encode(messages, enable_thinking))

    def build(
        self,
        messages: Messages,
        enable_thinking: bool | None = None,
        max_prompt_tokens: int | None = None,
        prefix: Prefix = NO_PREFIX,
    ) -> Prompt:
        """Drop the oldest turns until the rest fits; raise PromptTooLong when the newest turn alone does not."""
        begun = self._begun(messages, enable_thinking, prefix) if prefix else []
        room = self.context_length - len(begun) - REPLY_TOKENS // 4
        limit = min(max_prompt_tokens or self.max_prompt_tokens, max(room, 1) if begun else self.context_length)
        prompt = fit(messages, limit, lambda chosen: self._encode(chosen, enable_thinking))
        return Prompt(prompt.ids + begun, prompt.num_dropped_messages, len(begun))

    def _begun(self, messages: Messages, enable_thinking: bool | None, prefix: Prefix) -> list[int]:
        """The tokens of a reply that people have seen the beginning of, as the model would have written them."""
        opened = self._encode(messages[-1:], enable_thinking)
        is_open = self._tokens.ends_in_reasoning(opened)
        reasoning, text = self._tokens.guard(prefix.reasoning), self._tokens.guard(prefix.text)
        begun = ""
        if reasoning and self._tokens.has_reasoning:
            begun = reasoning if is_open else f"<think>\n{reasoning}"
        if text and (begun or is_open):
            begun += f"{'' if begun.endswith(NEWLINE) else NEWLINE}</think>\n\n"
        return self._tokens.encode(begun + text)

    def _encode(self, messages: Messages, enable_thinking: bool | None) -> list[int]:
        guarded = [ChatMessage(message.role, self._tokens.guard(message.content)) for message in messages]
        return self._tokens.encode(self._template.render(guarded, enable_thinking))


class _Tokens:
    """A tokenizer that tells control tokens of the template from the same words in a message."""

    def __init__(self, path: Path) -> None:
        try:
            text = path.read_text(encoding="utf-8")
            start = re.search(r'"added_tokens"\s*:\s*', text)
            listed, end = json.JSONDecoder().raw_decode(text, start.end()) if start else ([], 0)
            added = {token["content"]: int(token["id"]) for token in listed}
            # Cut out of the text, since parsing all of it takes 100 MB for a while.
            self._plain = Tokenizer.from_str(f"{text[: start.end()]}[]{text[end:]}" if start else text)
        except Exception as error:
            raise ModelError(f"{path.name} is damaged or no tokenizer that is understood.") from error
        if any(self._plain.encode(name, add_special_tokens=False).ids == [i] for name, i in added.items()):
            raise ModelError(f"{path.name} lets plain text become control tokens, which is not safe.")
        _give_back_memory()
        # The longest name first, as the tokenizer itself prefers it.
        self._names = sorted(added, key=len, reverse=True)
        self._ids = added
        self._index = {name: i for i, name in enumerate([_MARK, *self._names])}
        self._kept = lru_cache(_KEPT_PIECES)(self._encode_piece)

    def guard(self, text: str) -> str:
        """Replace names of control tokens by marks that the template passes on untouched."""
        return self._guarded.sub(lambda found: f"{_MARK}{self._index[found[0]]};", text)

    def encode(self, rendered: str) -> list[int]:
        ids: list[int] = []
        for piece in self._split.split(rendered):
            if piece in self._ids:
                ids.append(self._ids[piece])
            elif piece:
                ids += self._kept(piece) if len(piece) <= _KEPT_LENGTH else self._encode_piece(piece)
        return ids

    def _encode_piece(self, piece: str) -> array[int]:
        return array("I", self._plain.encode(self._unguard(piece), add_special_tokens=False).ids)

    @property
    def has_reasoning(self) -> bool:
        return "<think>" in self._ids and "</think>" in self._ids

    def ends_in_reasoning(self, ids: list[int]) -> bool:
        """Whether a prompt leaves the reasoning open for the model to fill."""
        markers = {self._ids.get("<think>"): True, self._ids.get("</think>"): False}
        return next((markers[token] for token in reversed(ids) if token in markers), False)

    def _unguard(self, text: str) -> str:
        if _MARK not in text:
            return text
        return re.sub(f"{_MARK}(\\d+);", lambda found: [_MARK, *self._names][int(found[1])], text)

    @cached_property
    def _guarded(self) -> re.Pattern[str]:
        return re.compile("|".join(map(re.escape, [*self._names, _MARK])))

    @cached_property
    def _split(self) -> re.Pattern[str]:
        return re.compile("(" + "|".join(map(re.escape, self._names)) + ")") if self._names else re.compile(r"(?!)")


class _Template:
    """The chat template in the environment that it is written for."""

    def __init__(self, model_dir: Path) -> None:
        path, config_path = model_dir / "chat_template.jinja", model_dir / "tokenizer_config.json"
        config = read_json(config_path) if config_path.exists() else {}
        source = path.read_text(encoding="utf-8") if path.exists() else _default(config.get("chat_template"))
        if not source:
            raise ModelError("chat_template.jinja is missing in the model directory.")
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = lambda format_: datetime.now().strftime(format_)
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateError as error:
            raise ModelError("The model's chat template can't be understood.") from error
        self._names = {key: _content(config[key]) for key in ("bos_token", "eos_token", "pad_token") if config.get(key)}

    def render(self, messages: Sequence[ChatMessage], enable_thinking: bool | None) -> str:
        variables: dict[str, Any] = {} if enable_thinking is None else {"enable_thinking": enable_thinking}
        turns = [{"role": message.role, "content": message.content} for message in messages]
        try:
            return self._template.render(
                messages=turns, tools=None, add_generation_prompt=True, **self._names, **variables
            )
        except jinja2.TemplateError as error:
            raise ModelError("The model's chat template does not take these messages.") from error


def _give_back_memory() -> None:
    """Return what parsing a tokenizer leaves free: 100 MB that every web process would keep."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)


def _default(template: Any) -> str:
    """A configuration may hold one template or several named ones."""
    if isinstance(template, list):
        named = {entry.get("name"): entry.get("template") for entry in template}
        template = named.get("default")
    return template or ""


def _content(token: Any) -> str:
    return str(token["content"] if isinstance(token, dict) else token)


def _to_json(value: Any, indent: int | None = None) -> str:
    # Jinja's own filter would escape for HTML.
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)
