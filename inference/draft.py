"""Guessing the next tokens from what was said before, so that one step can check several at once."""

from __future__ import annotations

from collections.abc import Sequence

_LONGEST_CUE = 3
"""So many last tokens, or fewer, are looked for earlier in the text."""
_FIRST_LENGTH = 4


class Draft:
    """Guesses that what followed the last tokens of a text before follows them again (Saxena 2023, "prompt lookup").

    A guess costs a row of the step, so one grows where the last was right and shrinks where it was wrong.
    """

    def __init__(self) -> None:
        self._followers: dict[tuple[int, ...], int] = {}
        self._num_noted = 1
        self._length = _FIRST_LENGTH

    def guess(self, ids: Sequence[int], most: int) -> list[int]:
        """What may follow `ids`, `most` tokens at most; `ids` have grown since the last call, and changed nowhere."""
        self._note(ids)
        for length in range(_LONGEST_CUE, 0, -1):
            place = self._followers.get(tuple(ids[-length:]))
            if place is not None:
                return self._copy(ids, place, min(most, self._length))
        return []

    def judge(self, num_guessed: int, num_right: int) -> None:
        """Learn how many tokens of the last guess came."""
        self._length = 2 * self._length if num_right == num_guessed else num_right + 1

    def _note(self, ids: Sequence[int]) -> None:
        for place in range(self._num_noted, len(ids)):
            for length in range(1, min(place, _LONGEST_CUE) + 1):
                self._followers[tuple(ids[place - length : place])] = place
        self._num_noted = len(ids)

    @staticmethod
    def _copy(ids: Sequence[int], place: int, num: int) -> list[int]:
        """Tokens from `place` on; where the text ends it goes on with what was copied, as repetitions do."""
        copied: list[int] = []
        for i in range(place, place + num):
            copied.append(ids[i] if i < len(ids) else copied[i - len(ids)])
        return copied
