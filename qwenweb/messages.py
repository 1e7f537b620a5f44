"""The words of the page in other languages: collects them for the translators, and compiles what they wrote.

python -m qwenweb.messages        (make messages)

Every language of the settings but English has a catalogue `chat/locale/<name>/LC_MESSAGES/django.po`, which people
edit, and beside it the `.mo` which Django reads. Both are kept in git: a machine that runs qwenweb needs no gettext.
"""

from __future__ import annotations

import ast
import io
import re
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parent.parent
LOCALE = ROOT / "chat" / "locale"
KEYWORDS = dict.fromkeys(("_", "gettext", "gettext_lazy", "gettext_noop")) | {"ngettext": (1, 2)}

# What Django's templatize makes of a template: calls of gettext between blanked out text.
_STRING = r"""u?('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_CALL = re.compile(rf"\b(?:gettext|_)\({_STRING}\)|\bngettext\({_STRING}, {_STRING},")

# What Django says to people, but not in each of our languages.
BORROWED = (
    (
        "This password is too short. It must contain at least %d character.",
        "This password is too short. It must contain at least %d characters.",
    ),
)
_UNSTEADY = re.compile(
    rb'(?m)^"(?:[\w-]+-Date|Generated-By|Report-Msgid-Bugs-To|Project-Id-Version|Last-Translator|Language-Team): .*\n'
)

_NO_DATE = datetime(2000, 1, 1, tzinfo=UTC)

Found = tuple[str, str | tuple[str, ...]]


def main() -> int:
    """Bring all catalogues up to date; exit 1 when a translation is missing."""
    template = collected()
    num_missing = 0
    for po in sorted(LOCALE.glob("*/LC_MESSAGES/django.po")):
        catalog = read(po)
        catalog.update(template, no_fuzzy_matching=True)
        catalog.obsolete.clear()
        po.write_bytes(written(catalog))
        po.with_suffix(".mo").write_bytes(compiled(catalog))
        missing = untranslated(catalog)
        num_missing += len(missing)
        sys.stderr.writelines(f"{po.parent.parent.name}: not translated: {words}\n" for words in missing)
    return 1 if num_missing else 0


def collected() -> Catalog:
    """Everything the page says, with the files that say it."""
    catalog = Catalog(charset="utf-8")
    borrowed: list[Found] = [("django", words) for words in BORROWED]
    for place, words in sorted(
        [*borrowed, *_in_python(), *_in_templates()], key=lambda found: (found[0], str(found[1]))
    ):
        catalog.add(words, locations=[(place, 0)])
    return catalog


def read(po: Path) -> Catalog:
    with po.open("rb") as file:
        return read_po(file, locale=po.parent.parent.name)


def written(catalog: Catalog) -> bytes:
    """The `.po` file; its header has no names and dates, which would change by themselves."""
    file = io.BytesIO()
    write_po(file, catalog, include_lineno=False, sort_output=True, width=120)
    return _UNSTEADY.sub(b"", file.getvalue())


def compiled(catalog: Catalog) -> bytes:
    """The `.mo` file."""
    catalog = read_po(io.BytesIO(written(catalog)), locale=catalog.locale)
    catalog.creation_date = catalog.revision_date = _NO_DATE
    file = io.BytesIO()
    write_mo(file, catalog)
    return file.getvalue()


def untranslated(catalog: Catalog) -> list[str]:
    lacking = [message for message in catalog if message.id and (not all(_strings(message.string)) or message.fuzzy)]
    return [str(message.id) for message in lacking]


def _strings(string: str | Iterable[str] | None) -> tuple[str | None, ...]:
    return (string,) if isinstance(string, str | None) else tuple(string)


def _in_python() -> Iterator[Found]:
    for path in sorted((ROOT / "chat").rglob("*.py")):
        with path.open("rb") as file:
            for _, words, _, _ in extract("python", file, keywords=KEYWORDS, options={"encoding": "utf-8"}):
                yield str(path.relative_to(ROOT)), words


def _in_templates() -> Iterator[Found]:
    for path in sorted((ROOT / "templates").rglob("*.*")):
        for one, singular, plural in _CALL.findall(templatize(path.read_text(), origin=path.name)):
            words = ast.literal_eval(one) if one else (ast.literal_eval(singular), ast.literal_eval(plural))
            yield str(path.relative_to(ROOT)), words


if __name__ == "__main__":
    sys.exit(main())
