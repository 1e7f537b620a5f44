"""What can go wrong before an engine runs; every message is one sentence for people."""

from __future__ import annotations


class ModelError(Exception):
    """A model that can't be had or is refused; the message names the file where one is at fault."""


class PromptTooLong(Exception):
    """A single message with `num_tokens` tokens of prompt that can't fit into `limit`."""

    def __init__(self, num_tokens: int, limit: int) -> None:
        super().__init__(f"The message has {num_tokens:,} tokens, the model takes at most {limit:,}.")
        self.num_tokens = num_tokens
        self.limit = limit
