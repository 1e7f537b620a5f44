from __future__ import annotations

import shutil
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from chat import personal_data
from chat.models import Audit, Refused, User


class Command(BaseCommand):
    help = "Write all that the server keeps of one person to a file, or delete it; the ledger keeps a number."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=["export", "erase"])
        parser.add_argument("email", help="the person's address")
        parser.add_argument("--to", default="person.zip", help="the file that export writes (default person.zip)")
        parser.add_argument("--yes", action="store_true", help="erase without a question")

    def handle(self, *args: Any, action: str, email: str, to: str, yes: bool, **options: Any) -> None:
        person = User.objects.filter(email__iexact=email).first()
        if person is None:
            raise CommandError(f"Nobody here has the address {email}.")
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 0")
        if action == "export":
            self._export(person, Path(to))
        else:
            self._erase(person, yes)

    def _export(self, person: User, path: Path) -> None:
        Audit.enter(None, "user.exported", person)
        with personal_data.export(person) as source, path.open("xb") as target:
            shutil.copyfileobj(source, target)
        path.chmod(0o600)
        self.stdout.write(f"All that is kept of {person.email} stands in {path}.")

    def _erase(self, person: User, is_sure: bool) -> None:
        if not is_sure and input(f"Delete {person.email} with everything of theirs, for ever? [yes/no] ") != "yes":
            raise CommandError("Nothing was deleted.")
        try:
            removed = personal_data.erase(person, None)
        except Refused as refused:
            raise CommandError(str(refused)) from None
        self.stdout.write(", ".join(f"{number} {name}" for name, number in sorted(removed.items())))
