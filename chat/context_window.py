"""How much of the model's context window a prompt takes: asked by the web process, without torch."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.utils.translation import gettext as _

from chat.refused import Refused
from inference import catalog, open_prompter
from inference.contract import ChatMessage
from inference.errors import ModelError, PromptTooLong
from inference.prompt import ChatPrompter
from inference.weights import manifest
from inference.window import prompt_limit

# A token of a byte-level tokenizer covers at least one byte, and a chat template adds fewer tokens than this.
TEMPLATE_TOKENS = 256
SCRIPTED = "scripted"


def refuse_over_long(text: str) -> None:
    """Raise Refused with both numbers when a message alone is longer than the window.

    Most messages are shorter in bytes than the window in tokens and need no count; the tokenizer is loaded when the
    first one is not. Without a model on this machine the worker decides.
    """
    model_dir = catalog.resolve(settings.MODEL, settings.DATA_DIR)
    if model_dir is None:
        return
    num_bytes = len(unicodedata.normalize("NFC", text).encode())
    if num_bytes + TEMPLATE_TOKENS <= catalog.max_prompt_tokens(model_dir):
        return
    prompter = _prompter(model_dir)
    num_tokens = prompter.count([ChatMessage("user", text)])
    if num_tokens > prompter.max_prompt_tokens:
        raise Refused(_too_long(num_tokens, prompter.max_prompt_tokens))


def _too_long(num_tokens: int, most_tokens: int) -> str:
    words = _("This message has {number:,} tokens; the model can read {most:,}. Shorten it.")
    return words.format(number=num_tokens, most=most_tokens)


@cache
def _prompter(model_dir: Path | None) -> ChatPrompter:
    return open_prompter(model_dir)


class Measured(NamedTuple):
    """A prompt in tokens as the model would read it, without the oldest `num_dropped_messages`; one with a message
    that does not even fit alone is longer than `most_tokens`."""

    num_tokens: int
    most_tokens: int
    context_length: int
    num_dropped_messages: int = 0

    @property
    def is_too_long(self) -> bool:
        return self.num_tokens > self.most_tokens

    @property
    def words(self) -> str:
        if self.is_too_long:
            return _too_long(self.num_tokens, self.most_tokens)
        return _("{number:,} of {most:,} tokens").format(number=self.num_tokens, most=self.context_length)


def measure(
    messages: Sequence[ChatMessage], model: str, context_length: int, *, enable_thinking: bool | None
) -> Measured | None:
    """How long a prompt is for a model of this name, served with this context length; None when its files are not on
    this machine, as then nobody here can count by its tokenizer."""
    most_tokens = prompt_limit(context_length)
    try:
        prompt = _prompter(_files_of(model)).build(messages, enable_thinking, most_tokens)
    except PromptTooLong as error:
        return Measured(error.num_tokens, most_tokens, context_length)
    except ModelError:
        return None
    return Measured(len(prompt.ids), most_tokens, context_length, prompt.num_dropped_messages)


def _files_of(model: str) -> Path | None:
    """The directory of a model that workers call so, None for the scripted engine; ModelError when it is not here."""
    if model == SCRIPTED and os.environ.get("QWENWEB_ENGINE") == "scripted":
        return None
    model_dir = catalog.resolve(settings.MODEL, settings.DATA_DIR)
    if model_dir is None or manifest(model_dir).get("name", model_dir.resolve().name) != model:
        raise ModelError("The model is not on this machine.")
    return model_dir
