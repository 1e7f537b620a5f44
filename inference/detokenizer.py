"""Token ids to text as they come: whole characters, reasoning apart from the answer, stop strings held back."""

from __future__ import annotations

from dataclasses import dataclass

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from inference.contract import ReasoningDelta, TextDelta
from inference.stop import StopFilter

Delta = TextDelta | ReasoningDelta

# No character takes more tokens; what is longer is not going to become one.
_MAX_PENDING = 8


@dataclass(frozen=True, slots=True)
class ThinkMarkers:
    """The tokens around reasoning; None for a model that has none."""

    open: int | None
    close: int | None

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> ThinkMarkers:
        return cls(tokenizer.token_to_id("<think>"), tokenizer.token_to_id("</think>"))

    def __bool__(self) -> bool:
        return self.open is not None and self.close is not None

    def is_marker(self, token: int) -> bool:
        return bool(self) and token in (self.open, self.close)

    def is_open_after(self, ids: list[int]) -> bool:
        """Whether a prompt ends inside reasoning."""
        last = next((token for token in reversed(ids) if self.is_marker(token)), None)
        return last is not None and last == self.open


class CharacterStream:
    """Text of one stretch of tokens, given out in whole characters."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._restart()

    def feed(self, token: int) -> str:
        self._pending.append(token)
        try:
            text = self._stream.step(self._tokenizer, token)
        except Exception:
            # The decoder gives up on bytes that can't become text; what follows them still can.
            return self.flush()
        if text is not None:
            self._pending.clear()
            return text
        return self.flush() if len(self._pending) > _MAX_PENDING else ""

    def flush(self) -> str:
        """What is pending, with U+FFFD for a character that was cut."""
        text = self._tokenizer.decode(self._pending, skip_special_tokens=True) if self._pending else ""
        self._restart()
        return text

    def _restart(self) -> None:
        self._stream = DecodeStream(skip_special_tokens=True)
        self._pending: list[int] = []


class Detokenizer:
    """The deltas of one reply."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        markers: ThinkMarkers,
        is_thinking: bool,
        stops: tuple[str, ...] = (),
        *,
        is_begun: bool = False,
    ) -> None:
        self._characters = CharacterStream(tokenizer)
        self._markers = markers
        self._stops = StopFilter(stops)
        # Behind a marker newlines are no text; a reply that goes on from a prefix is past that.
        self._skips_newlines = is_thinking and not is_begun
        self.is_thinking = is_thinking

    @property
    def is_stopped(self) -> bool:
        """Whether a stop string came."""
        return self._stops.is_hit

    def feed(self, token: int) -> list[Delta]:
        """What `token` adds to the reply; nothing while a character or a stop string is not whole."""
        if not self._markers.is_marker(token):
            return self._delta(self._characters.feed(token))
        deltas = self._delta(self._characters.flush())
        self.is_thinking, self._skips_newlines = token == self._markers.open, True
        return deltas

    def close(self) -> list[Delta]:
        """What was still held back at the end."""
        deltas = self._delta(self._characters.flush())
        held = self._stops.flush()
        return [*deltas, TextDelta(held)] if held else deltas

    def _delta(self, text: str) -> list[Delta]:
        if self._skips_newlines:
            text = text.lstrip("\n")
            self._skips_newlines = not text
        if self.is_thinking:
            return [ReasoningDelta(text)] if text else []
        text = self._stops.feed(text)
        return [TextDelta(text)] if text else []
