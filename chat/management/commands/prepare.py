from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from chat.models import SetupLink


class Command(BaseCommand):
    help = "Bring the database and the static files up to date; print the setup link while there is no administrator."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--no-static", action="store_true", help="leave the static files as they are")

    def handle(self, *args: Any, **options: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 0")
            # Two starts at once, on two machines, say, migrate one after the other.
            cursor.execute("SELECT pg_advisory_lock(hashtext('qwenweb.prepare'))")
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            call_command("migrate", interactive=False, verbosity=0)
        if not options["no_static"]:
            call_command("collectstatic", interactive=False, verbosity=0)
        token = SetupLink.renew()
        self.stdout.write(json.dumps({"setup_path": f"/setup/{token}/" if token else None}))
