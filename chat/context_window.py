"""Whether one message fits into the model's context window: asked by the web process, without torch."""

from __future__ import annotations

import unicodedata
from functools import cache
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext as _

from chat.refused import Refused
from inference import catalog
from inference.contract import ChatMessage
from inference.prompt import Prompter

# A token of a byte-level tokenizer covers at least one byte, and a chat template adds fewer tokens than this.
TEMPLATE_TOKENS = 256


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
        words = _("This message has {number:,} tokens; the model can read {most:,}. Shorten it.")
        raise Refused(words.format(number=num_tokens, most=prompter.max_prompt_tokens))


@cache
def _prompter(model_dir: Path) -> Prompter:
    return Prompter(model_dir)
