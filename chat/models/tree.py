"""The shape of a conversation, without its texts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID


class Siblings(NamedTuple):
    """Where a message stands among its versions, `place` of `number` (both from 1), and those beside it."""

    place: int
    number: int
    previous: UUID | None
    next: UUID | None


class Tree:
    """Which message is below which. What is deleted has no place among its siblings, but keeps what is below it."""

    def __init__(self, rows: Iterable[tuple[UUID, UUID | None, bool]]) -> None:
        """`rows` are (id, id of the parent, whether it is deleted), the oldest first."""
        self._parents: dict[UUID, UUID | None] = {}
        self._below: defaultdict[UUID | None, list[UUID]] = defaultdict(list)
        self._deleted: set[UUID] = set()
        for id_, parent, is_deleted in rows:
            self._parents[id_] = parent
            self._below[parent].append(id_)
            if is_deleted:
                self._deleted.add(id_)

    def branch(self, leaf: UUID | None) -> list[UUID]:
        """From the root to a leaf, both included; nothing when there is no such leaf."""
        branch: list[UUID] = []
        while leaf in self._parents:
            assert leaf
            branch.append(leaf)
            leaf = self._parents[leaf]
        return branch[::-1]

    def siblings(self, id_: UUID) -> Siblings:
        ids = [each for each in self._below[self._parents[id_]] if each == id_ or each not in self._deleted]
        at = ids.index(id_)
        return Siblings(at + 1, len(ids), ids[at - 1] if at else None, ids[at + 1] if at + 1 < len(ids) else None)

    def subtree(self, id_: UUID) -> list[UUID]:
        """A message and all below it, deleted ones included."""
        subtree = [id_]
        for each in subtree:
            subtree += self._below[each]
        return subtree

    def has_replies(self, id_: UUID) -> bool:
        return bool(self._children(id_))

    def newest_leaf(self, id_: UUID) -> UUID:
        """Where the conversation last went on below a message: the youngest that has nothing below it."""
        living = [each for each in self.subtree(id_) if each == id_ or each not in self._deleted]
        return max(each for each in living if not self._children(each))

    def leaf_without(self, id_: UUID) -> UUID | None:
        """Where the page opens when a message is gone: below the version beside it, else on the message above."""
        beside = self.siblings(id_)
        neighbour = beside.previous or beside.next
        return self.newest_leaf(neighbour) if neighbour else self._parents[id_]

    def _children(self, id_: UUID) -> list[UUID]:
        return [each for each in self._below[id_] if each not in self._deleted]
