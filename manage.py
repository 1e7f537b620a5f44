#!/usr/bin/env python3
"""The command line of qwenweb: `up`, `models`, and all of Django's commands."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> int:
    """Run the command of sys.argv; `up` and `models` need neither settings nor a database, so Django stays out."""
    command, arguments = sys.argv[1:2], sys.argv[2:]
    if command == ["up"]:
        from qwenweb.up import command as up

        return up.main(arguments)
    if command == ["models"]:
        from inference import models_cli

        return models_cli.main(arguments)
    from qwenweb.up.stack import own_addresses

    # So that `createsuperuser`, say, finds the servers of the running stack.
    os.environ.update(own_addresses(Path(os.environ.get("QWENWEB_DATA_DIR") or "var")))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qwenweb.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
    return 0


if __name__ == "__main__":
    sys.exit(main())
