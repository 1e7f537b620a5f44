"""Files to import, read piece by piece: JSON with one chat or a list of them, or a ZIP file with such JSON in it.

However large or hostile the file, no more of it is in memory than one chat may have.
"""

from __future__ import annotations

import codecs
import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Any

from django.utils.translation import gettext as _

from chat.refused import Refused
from chat.transfer import chatgpt, own
from chat.transfer.chats import ImportedChat

LARGEST_FILE = 128 * 1024 * 1024
LARGEST_CHAT = 16 * 1024 * 1024
LARGEST_UNPACKED = 1024 * 1024 * 1024
LARGEST_LISTING = 8 * 1024 * 1024
_CHUNK = 65_536
_END_RECORD = 22
_LONGEST_COMMENT = 65_535
_CHATGPT = re.compile(r"(?:.*/)?conversations(?:-\d+)?\.json")
_BETWEEN = re.compile(r"[\s,]*")
# A number of a million digits takes longer than the rest of the file.
_DECODER = json.JSONDecoder(parse_int=lambda digits: int(digits) if len(digits) < 20 else None)


def documents(file: IO[bytes]) -> Iterator[Any]:
    """Each chat of a file as plain values, not looked at yet. Raises Refused, in words, where it can't be read on."""
    if not zipfile.is_zipfile(file):
        file.seek(0)
        yield from _values(_decoded(iter(lambda: file.read(_CHUNK), b"")))
        return
    _refuse_long_listing(file)
    try:
        yield from _zipped(file)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, OSError, ValueError):
        raise Refused(_("This ZIP file is damaged, or needs a password.")) from None


def chat_of(document: Any) -> ImportedChat:
    """The chat in one of the forms that are known. Raises Refused, in words, when it is in none."""
    if isinstance(document, dict) and document.get("format") == own.FORMAT:
        return own.read(document)
    if isinstance(document, dict) and isinstance(document.get("mapping"), dict):
        return chatgpt.read(document)
    raise Refused(_("This is no chat that qwenweb or ChatGPT exported."))


def title_of(document: Any) -> str:
    """What to call it where it could not be read."""
    title = document.get("title") if isinstance(document, dict) else None
    return title if isinstance(title, str) else ""


def _zipped(file: IO[bytes]) -> Iterator[Any]:
    with zipfile.ZipFile(file) as archive:
        members = [member for member in archive.infolist() if member.filename.endswith(".json")]
        # Beside its chats ChatGPT puts other JSON into the file.
        chats = [member for member in members if _CHATGPT.fullmatch(member.filename)] or members
        if not chats:
            raise Refused(_("There are no chats in this ZIP file."))
        unpacked = _Unpacked()
        for member in chats:
            with archive.open(member) as packed:
                yield from _values(_decoded(unpacked.chunks(packed)))


class _Unpacked:
    """How much of a ZIP file may still be unpacked."""

    def __init__(self) -> None:
        self._left = LARGEST_UNPACKED

    def chunks(self, packed: IO[bytes]) -> Iterator[bytes]:
        while chunk := packed.read(_CHUNK):
            self._left -= len(chunk)
            if self._left < 0:
                words = _("Unpacked, this ZIP file is larger than {most} MB.")
                raise Refused(words.format(most=LARGEST_UNPACKED // 1024**2))
            yield chunk


def _refuse_long_listing(file: IO[bytes]) -> None:
    """The list of files in a ZIP file is read as a whole; a short record at the end says how long it is."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _END_RECORD - _LONGEST_COMMENT - 20))
    end = file.read()
    at = end.rfind(b"PK\5\6")
    num_bytes = int.from_bytes(end[at + 12 : at + 16], "little")
    if num_bytes > LARGEST_LISTING or end[max(0, at - 20) : at].startswith(b"PK\6\7"):
        raise Refused(_("This ZIP file has too many files in it. Unpack it, and import conversations.json."))


def _decoded(chunks: Iterator[bytes]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
    for chunk in chunks:
        yield decoder.decode(chunk)


def _values(chunks: Iterator[str]) -> Iterator[Any]:
    """The elements of a JSON list, one by one; of other JSON the whole of it."""
    text = _Text(chunks)
    first = text.next_character()
    if first == "{":
        yield text.value()
        return
    if first != "[":
        raise Refused(_("This is no JSON: qwenweb and ChatGPT export chats as .json or .zip files."))
    text.skip()
    while (character := text.next_character()) != "]":
        if not character:
            raise Refused(_("The file ends in the middle."))
        yield text.value()


class _Text:
    """JSON that comes in chunks. A value is tried with what is there, then with twice as much, so that the length of
    what was tried is at most twice that of the file."""

    def __init__(self, chunks: Iterator[str]) -> None:
        self._chunks = chunks
        self._text = ""
        self._at = 0

    def next_character(self) -> str:
        """The one with which the next value begins; empty at the end."""
        while True:
            found = _BETWEEN.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read(1):
                return ""

    def skip(self) -> None:
        self._at += 1

    def value(self) -> Any:
        while True:
            try:
                value, self._at = _DECODER.raw_decode(self._text, self._at)
            except RecursionError:
                raise Refused(_("Something in this file is nested too deeply.")) from None
            except ValueError:
                self._read_on()
            else:
                return value

    def _read_on(self) -> None:
        num_tried = len(self._text) - self._at
        if num_tried > LARGEST_CHAT:
            raise Refused(_("A chat in this file is larger than {most} MB.").format(most=LARGEST_CHAT // 1024**2))
        if not self._read(max(_CHUNK, num_tried)):
            raise Refused(_("The file is damaged, or ends in the middle."))

    def _read(self, num_characters: int) -> bool:
        """Read so many more, if there are; False when there are none."""
        parts = [self._text[self._at :]]
        num_read = 0
        for chunk in self._chunks:
            parts.append(chunk)
            num_read += len(chunk)
            if num_read >= num_characters:
                break
        self._text, self._at = "".join(parts), 0
        return num_read > 0
