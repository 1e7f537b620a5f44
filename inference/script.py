"""What the scripted engine shall do, written as `key=value;flag;…`."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal, get_args

from inference.contract import ChatMessage

Mode = Literal["", "oom", "poison", "hang", "no_eos", "slow_load"]
_DIRECTIVE = re.compile(r"\[\[([^\[\]]+)\]\]")


@dataclass(frozen=True)
class Script:
    """How one reply goes.

    `tokens` answer tokens come after `reasoning` reasoning tokens, `rate` of them a second (0: as fast as they are
    read), the first after `prefill_ms`. At token `fail_at` (0: before the first) the run fails, or does what `mode`
    says: `oom` and `poison` fail in their way, `hang` stops the whole engine. `no_eos` goes on until a length limit;
    `slow_load` makes opening the engine last `load_s`; `adapters=a,b` are models beside the base. `kind` is what the
    tokens are: words, a Markdown document, their number and time (`stamp`), or the given `text`.
    """

    tokens: int = 40
    rate: float = 0.0
    prefill_ms: float = 0.0
    reasoning: int = 0
    fail_at: int | None = None
    mode: Mode = ""
    load_s: float = 5.0
    slots: int = 1000
    context: int = 32768
    stall_s: float = 5.0
    adapters: tuple[str, ...] = ()
    kind: Literal["words", "markdown", "stamp", "say"] = "words"
    text: str = ""

    @classmethod
    def parse(cls, line: str) -> Script:
        return cls().changed(line)

    def changed(self, line: str) -> Script:
        """This script with the settings of `line` laid over it; ValueError for a word it does not know."""
        script = self
        # A given text may hold any character, so it is always the last setting.
        settings, *text = re.split(r"(?:^|(?<=;))text=", line, maxsplit=1)
        for part in filter(None, (part.strip() for part in settings.split(";"))):
            script = script._with(part)
        return replace(script, kind="say", text=text[0]) if text else script

    def directed(self, messages: tuple[ChatMessage, ...]) -> Script:
        """This script as changed by a directive like `[[tokens=50;rate=100]]` in the last user message."""
        asked = next((message.content for message in reversed(messages) if message.role == "user"), "")
        for directive in _DIRECTIVE.finditer(asked):
            try:
                script = self.changed(directive[1])
            except ValueError:
                continue
            says = script.kind == "say" and not script.text
            return replace(script, text=asked[directive.end() :]) if says else script
        return self

    def _with(self, part: str) -> Script:
        key, is_setting, value = part.partition("=")
        if not is_setting:
            return self._flagged(key)
        match key:
            case "tokens" | "reasoning" | "fail_at" | "slots" | "context":
                return replace(self, **{key: int(value)})  # type: ignore[arg-type]
            case "rate" | "prefill_ms" | "load_s" | "stall_s":
                return replace(self, **{key: float(value)})  # type: ignore[arg-type]
            case "adapters":
                return replace(self, adapters=tuple(value.split(",")))
            case "mode" if value in get_args(Mode):
                return replace(self, mode=value)  # type: ignore[arg-type]
        raise ValueError(f"script: {part!r} is not known")

    def _flagged(self, flag: str) -> Script:
        match flag:
            case "words" | "markdown" | "stamp" | "say":
                return replace(self, kind=flag)
        raise ValueError(f"script: {flag!r} is not known")
