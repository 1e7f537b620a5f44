"""Whether a command line of the operator's files is one that the programs of this project understand."""

from __future__ import annotations

import click
from celery.bin.worker import worker
from django.core.management import CommandError, get_commands, load_command_class
from django.urls import Resolver404, resolve

from inference import models_cli
from qwenweb import serve
from qwenweb.celery import app


def complaints(command: list[str]) -> list[str]:
    """Return what is wrong with a command line; empty when it would be understood."""
    match command:
        case ["python", "manage.py", name, *arguments]:
            return _of_manage(name, arguments)
        case ["celery", "--app=qwenweb" | "-A", *arguments]:
            return _of_worker(arguments)
        case ["python", "-m", "qwenweb.serve", *arguments]:
            return _of_server(arguments)
    return [f"{command[0]} is no program of this project"]


def option(command: list[str], name: str) -> str:
    """Return the value of `--name=value` in a command line, else nothing."""
    return next((word.partition("=")[2] for word in command if word.startswith(f"{name}=")), "")


def queues() -> set[str]:
    """The queues that the tasks of this project go to."""
    app.loader.import_default_modules()
    return {app.amqp.router.route({}, name)["queue"].name for name in app.tasks if name.startswith("chat.")}


def is_page(path: str) -> bool:
    try:
        resolve(path)
    except Resolver404:
        return False
    return True


def _of_manage(name: str, arguments: list[str]) -> list[str]:
    try:
        if name == "models":
            models_cli._parser().parse_args(arguments)
        elif name in get_commands():
            load_command_class(get_commands()[name], name).create_parser("manage.py", name).parse_args(arguments)
        else:
            return [f"manage.py has no command {name}"]
    except (CommandError, SystemExit):
        return [f"manage.py {name} does not take {arguments}"]
    return []


def _of_worker(arguments: list[str]) -> list[str]:
    if arguments[:1] == ["qwenweb"]:
        arguments = arguments[1:]
    if arguments[:1] != ["worker"]:
        return [f"celery {arguments[:1]} is not a worker"]
    try:
        options, extra, _ = worker.make_parser(click.Context(worker)).parse_args(arguments[1:])
    except click.UsageError as error:
        return [error.format_message()]
    found = [f"celery does not take {word}" for word in extra]
    found += [f"there is no queue {name}" for name in set(options["queues"].split(",")) - queues()]
    if options.get("pool") != "threads":
        found.append("the inference worker, its beats and its stops share a process: the pool must be threads")
    return found


def _of_server(arguments: list[str]) -> list[str]:
    try:
        options = serve.parser().parse_args(arguments)
    except SystemExit:
        return [f"the web server does not take {arguments}"]
    # In a container only the proxy reaches it, and everybody comes from the proxy's address.
    return [] if options.behind_proxy else ["the web server takes the proxy's address for people's"]
