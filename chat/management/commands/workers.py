from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from chat.models import Worker

ROW = "{:<24} {:<9} {:<26} {:<8} {:>7} {:>9} {:>9}"


class Command(BaseCommand):
    help = "List the inference workers; drain one (it hands its replies over and takes no more), or let it serve again."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", nargs="?", choices=["list", "drain", "undrain"], default="list")
        parser.add_argument("name", nargs="?", help="the worker's name, as the list shows it")

    def handle(self, *args: Any, action: str, name: str | None, **options: Any) -> None:
        if action == "list":
            self._list()
            return
        worker = Worker.live().filter(name=name).order_by("-started_at").first()
        if worker is None:
            raise CommandError(f"No worker named {name} lives." if name else f"Which worker? workers {action} NAME")
        if action == "drain":
            worker.drain()
            self.stdout.write(f"{name} takes no more replies and hands over those that do not end soon.")
        else:
            worker.undrain()
            self.stdout.write(f"{name} takes replies again.")

    def _list(self) -> None:
        self.stdout.write(ROW.format("NAME", "STATE", "MODEL", "DEVICE", "RUNNING", "TOKENS/S", "LAST BEAT"))
        for worker in Worker.latest():
            running, beat = f"{worker.num_running}/{worker.num_slots}", f"{worker.beat_age_s:.0f} s ago"
            speed = f"{worker.tokens_per_s:.0f}"
            row = (worker.name, worker.condition, worker.model, worker.device, running, speed, beat)
            self.stdout.write(ROW.format(*row))
