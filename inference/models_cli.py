"""`manage.py models`: what is listed, present and fitting; `manage.py models fetch [NAME]` gets one."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from time import monotonic

from inference import catalog
from inference.errors import ModelError
from inference.machine import Machine
from inference.weights import verify

_STAGES = {"download": "Downloading", "convert": "Converting", "verify": "Verifying"}


def main(argv: list[str]) -> int:
    """Run the command; `argv` are the words after `models`. The exit status: 0 done, 1 refused, 130 interrupted."""
    options = _parser().parse_args(argv)
    data_dir = Path(options.data_dir).absolute()
    try:
        if options.command == "fetch":
            print(f"Ready: {catalog.fetch(options.name, data_dir, Line())}")
        elif options.command == "verify":
            _verify(options.name, data_dir)
        else:
            print(table(data_dir))
    except ModelError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; what was downloaded is kept.", file=sys.stderr)
        return 130
    return 0


def table(data_dir: Path) -> str:
    """The catalogue for people; AUTO marks what the choice "auto" would take."""
    rows = [("NAME", "HERE", "FITS", "AUTO", "SIZE", "MEMORY", "CONTEXT", "LICENCE")]
    machine = Machine.own()
    auto = next(iter(catalog.suited(data_dir, machine)), None)
    for entry in catalog.entries():
        here, fits, is_auto = (
            "yes" if fact else "no" for fact in (entry.is_ready(data_dir), entry.fits(machine), entry == auto)
        )
        sizes = (f"{entry.size / 1e9:.1f} GB", f"{entry.memory / 1e9:.1f} GB", f"{entry.context_length:,}")
        rows.append((entry.name, here, fits, is_auto, *sizes, entry.licence))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


class Line:
    """Progress as one line that is drawn again on a terminal, else a new line every two seconds."""

    def __init__(self) -> None:
        self._stage = ""
        self._began_at = self._shown_at = 0.0
        self._began_with = 0

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        now = monotonic()
        if stage != self._stage:
            self._stage, self._began_at, self._began_with, self._shown_at = stage, now, done, 0.0
        is_terminal, is_over = sys.stderr.isatty(), done == total
        if is_over or now - self._shown_at >= (0.1 if is_terminal else 2):
            self._shown_at = now
            text = self._text(done, total, now)
            is_last = is_over or not is_terminal
            print(f"\r{text:<96}" if is_terminal else text, end="\n" if is_last else "", file=sys.stderr, flush=True)

    def _text(self, done: int, total: int | None, now: float) -> str:
        speed = (done - self._began_with) / max(now - self._began_at, 1e-3)
        text = f"{_STAGES.get(self._stage, self._stage)}: {done / 1e6:,.0f} MB"
        if total:
            filled = 20 * done // total
            bar = f" [{'█' * filled}{'·' * (20 - filled)}]" if sys.stderr.isatty() else ""
            text = f"{text} of {total / 1e6:,.0f} MB{bar} {100 * done // total} %"
        if speed > 0:
            text = f"{text}, {speed / 1e6:,.1f} MB/s"
        return f"{text}, {(total - done) / speed:,.0f} s left" if total and speed > 0 and done < total else text


def _verify(name: str, data_dir: Path) -> None:
    model_dir = catalog.resolve(name, data_dir)
    if model_dir is None:
        raise ModelError("The model is not here yet; get it with `manage.py models fetch`.")
    verify(model_dir, Line())
    print(f"Whole: {model_dir}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="manage.py models", description=__doc__)
    default_dir = os.environ.get("QWENWEB_DATA_DIR") or "var"
    parser.add_argument("--data-dir", default=default_dir, help="where models are kept (default: %(default)s)")
    parser.set_defaults(command="list")
    commands = parser.add_subparsers(dest="command")
    for command, text in (("fetch", "get a model, verify and convert it"), ("verify", "compare every byte of a model")):
        one = commands.add_parser(command, help=text)
        choice = os.environ.get("QWENWEB_MODEL", "")
        one.add_argument("name", nargs="?", default=choice, help="a name, directory, .gguf file, hub id, or auto")
    return parser
