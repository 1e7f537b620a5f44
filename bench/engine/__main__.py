"""`python -m bench.engine`: everything that is compared, in turn, in one run. The last line is JSON."""

from __future__ import annotations

import argparse
import signal
import sys
from contextlib import ExitStack

from bench.engine.figures import NUM_TRIES
from bench.engine.plan import Plan
from bench.engine.run import ANCHORS, EVERYTHING, Bench


def main() -> None:
    # An exit by the way that stops what was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with ExitStack() as closing:
        bench = Bench(_plan(), closing)
        bench.run()
        print(bench.table())
        print(bench.last_line())


def _plan() -> Plan:
    parser = argparse.ArgumentParser(prog="python -m bench.engine", description=__doc__)
    parser.add_argument("--only", type=_names, help=f"what to measure, with commas, of: {', '.join(EVERYTHING)}")
    parser.add_argument("--skip-anchors", action="store_true", help="measure the engine and nothing beside it")
    parser.add_argument("--cached-anchors", action="store_true", help="take what the anchors did in an earlier run")
    parser.add_argument("--replies", type=_numbers, default=(1, 4, 8, 16), help="how many at once, a round for each")
    parser.add_argument("--tokens", type=int, default=128, help="new tokens of a reply")
    parser.add_argument(
        "--repeat", type=int, default=2, help="how often each is measured; the fastest quiet one counts"
    )
    parser.add_argument("--tries", type=int, default=NUM_TRIES, help="how often at most, while others use the machine")
    options = parser.parse_args()
    chosen = options.only or tuple(name for name in EVERYTHING if name not in ANCHORS or not options.skip_anchors)
    return Plan(chosen, options.replies, options.tokens, options.repeat, options.tries, options.cached_anchors)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    unknown = [name for name in names if name not in EVERYTHING]
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no {unknown[0]!r}; there are {', '.join(EVERYTHING)}")
    return names


def _numbers(text: str) -> tuple[int, ...]:
    numbers = tuple(int(number) for number in text.split(","))
    if not all(1 <= number <= 16 for number in numbers):
        raise argparse.ArgumentTypeError("there are sixteen prompts: 1 to 16 replies can be asked for")
    return numbers


if __name__ == "__main__":
    main()
