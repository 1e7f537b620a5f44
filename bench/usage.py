"""How long the pages of the usage review take with 1,000,000 lines in the ledger: `python -m bench.usage`.

On a stack of its own. The last line is JSON, in milliseconds.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from tests.stack import running_stack


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="qwenweb-bench-") as directory:
        Path(directory).chmod(0o755)  # Postgres runs as another user where this is root
        with running_stack(Path(directory) / "var") as stack:
            figures = stack.run("from bench import usage_review\nresult = usage_review.measure()")
    print(json.dumps({"bench": "usage", **figures}))


if __name__ == "__main__":
    main()
