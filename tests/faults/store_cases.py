"""Postgres, Valkey and the lines to them: away, slow, full, empty."""

from __future__ import annotations

import asyncio
import random
import shutil
import subprocess
from pathlib import Path

import redis

from tests.faults.case import Inject, amid, case, disturb
from tests.faults.ledger import Entry, Ledger


def restarts(name: str, *, away_s: float = 0.0) -> Inject:
    async def fault(ledger: Ledger, chance: random.Random) -> None:
        ledger.stack.kill(name)
        await asyncio.sleep(away_s)
        await asyncio.to_thread(ledger.stack.mend)

    return fault


def line(name: str, *, seconds: float = 2.0, **state: float) -> Inject:
    async def fault(ledger: Ledger, chance: random.Random) -> None:
        proxy = ledger.stack.lines[name]
        for attribute, value in state.items():
            setattr(proxy, attribute, value)
        if "refuses" in state:
            proxy.reset()
        await asyncio.sleep(seconds)
        proxy.heal()

    return fault


async def cuts_lines(ledger: Ledger, chance: random.Random) -> None:
    for _ in range(6):
        ledger.stack.lines[chance.choice(["postgres", "valkey"])].reset()
        await asyncio.sleep(chance.uniform(0.1, 0.5))


async def terminates_backends(ledger: Ledger, chance: random.Random) -> None:
    for _ in range(4):
        ledger.stack.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname = 'qwenweb'"
        )
        await asyncio.sleep(chance.uniform(0.2, 0.8))


async def locks_table(ledger: Ledger, chance: random.Random) -> None:
    statement = "BEGIN; LOCK TABLE chat_generation; SELECT pg_sleep(3); COMMIT"
    await asyncio.to_thread(ledger.stack.sql, statement)


async def migrates(ledger: Ledger, chance: random.Random) -> None:
    """What the next version's migration does to the tables while this one runs."""
    for change in ("ADD COLUMN later integer", "ALTER COLUMN later SET DEFAULT 0", "DROP COLUMN later"):
        for table in ("chat_generation", "chat_message", "chat_conversation"):
            await asyncio.to_thread(ledger.stack.sql, f"ALTER TABLE {table} {change}")
        await asyncio.sleep(chance.uniform(0, 0.3))


def store(ledger: Ledger, database: int = 0) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(ledger.stack.valkey.socket_path), db=database, socket_timeout=5)


async def flushes(ledger: Ledger, chance: random.Random) -> None:
    store(ledger).flushall()


async def flushes_often(ledger: Ledger, chance: random.Random) -> None:
    for _ in range(8):
        store(ledger).flushall()
        await asyncio.sleep(chance.uniform(0, 0.2))


async def restarts_empty(ledger: Ledger, chance: random.Random) -> None:
    ledger.stack.end("valkey")
    shutil.rmtree(ledger.stack.valkey.data_dir)
    await asyncio.sleep(chance.uniform(0, 1))
    await asyncio.to_thread(ledger.stack.mend)


async def restarts_without_its_last(ledger: Ledger, chance: random.Random) -> None:
    """What a power cut does to a log that is written to the disk once a second."""
    ledger.stack.end("valkey")
    for log in ledger.stack.valkey.data_dir.glob("appendonlydir/*.incr.aof"):
        with log.open("r+b") as file:
            file.truncate(max(0, log.stat().st_size - chance.randint(1, 4000)))
    await asyncio.to_thread(ledger.stack.mend)


async def fills_valkey(ledger: Ledger, chance: random.Random) -> None:
    with store(ledger) as client:
        client.config_set("maxmemory", "1mb")
        await asyncio.sleep(2)
        client.config_set("maxmemory", "256mb")


async def evicts(ledger: Ledger, chance: random.Random) -> None:
    with store(ledger) as client:
        client.config_set("maxmemory-policy", "allkeys-random")
        await fills_valkey(ledger, chance)
        client.config_set("maxmemory-policy", "noeviction")


async def sends_garbage(ledger: Ledger, chance: random.Random) -> None:
    with store(ledger, 1) as client:
        for queue in ("gpu", "default"):
            client.lpush(queue, "{this is no task")


async def rings_often(ledger: Ledger, chance: random.Random) -> None:
    await asyncio.to_thread(ledger.stack.run, "from chat.tasks import wake\nfor _ in range(20): wake.apply_async()")


disturb(11, "Valkey killed, data kept", restarts("valkey"))
disturb(12, "Valkey loses everything", flushes)
disturb(12, "Valkey loses everything eight times", flushes_often)
disturb(12, "Valkey killed, and back empty", restarts_empty)
disturb(12, "Valkey killed, and back without its last writes", restarts_without_its_last)
disturb(13, "Valkey away for 4 s", restarts("valkey", away_s=4))
disturb(14, "Valkey slow", line("valkey", latency_s=0.3))
disturb(14, "line to Valkey dead for 2 s", line("valkey", black_hole=1))
disturb(14, "line to Valkey chopped into 7 bytes", line("valkey", piece=7))
disturb(15, "Valkey full", fills_valkey)
disturb(16, "Valkey evicts keys", evicts)
disturb(17, "Postgres killed", restarts("postgres"))
disturb(18, "connections of Postgres ended", terminates_backends)
disturb(19, "Postgres away for 4 s", restarts("postgres", away_s=4))
disturb(20, "lines cut at random", cuts_lines)
disturb(20, "line to Postgres refused for 2 s", line("postgres", refuses=1))
disturb(21, "Postgres slow", line("postgres", latency_s=0.1))
disturb(21, "table locked for 3 s", locks_table)
disturb(30, "wake-ups doubled", rings_often)
disturb(32, "garbage in the queues", sends_garbage)
disturb(56, "columns added and dropped", migrates)


@case(12, "Valkey loses everything while pages load again")
async def flushed_and_loaded_again(ledger: Ledger, chance: random.Random) -> None:
    async def fault(entries: list[Entry]) -> None:
        for _ in range(4):
            store(ledger).flushall()
            await asyncio.sleep(chance.uniform(0, 0.1))
            await chance.choice(entries).visitor.reload()
            await asyncio.sleep(chance.uniform(0.05, 0.3))

    await amid(ledger, chance, fault)


@case(31, "questions in quick succession")
async def one_after_another(ledger: Ledger, chance: random.Random) -> None:
    """A worker that hears of a reply before its commit, or after it was taken, must lose none."""
    asked = [await ledger.ask(who, num_words=2, rate=0, web=who % 2) for _ in range(10) for who in range(3)]
    await ledger.watch(*asked)


@case(59, "backup while replies run, and its restore")
async def backup(ledger: Ledger, chance: random.Random) -> None:
    """What is restored has everything that was accepted before, once."""

    async def fault(entries: list[Entry]) -> None:
        missing = await asyncio.to_thread(_restored_without, ledger, [entry.client_id for entry in entries])
        ledger.expect(not missing, f"I1: a backup lacks {missing}")

    await amid(ledger, chance, fault, num_words=80)


def _restored_without(ledger: Ledger, client_ids: list[str]) -> set[str]:
    """Dump the database, restore it beside itself; which questions are not in it."""
    stack, url = ledger.stack, ledger.stack.postgres.url.replace("postgres://", "postgresql://")
    dump = stack.data_dir.parent / "dump.sql"
    programs = Path(stack.find("postgres").exe()).parent
    stack.sql("DROP DATABASE IF EXISTS restored")
    stack.sql("CREATE DATABASE restored")
    try:
        subprocess.run([programs / "pg_dump", "--file", dump, url], check=True, timeout=30)
        other = url.replace("/qwenweb?", "/restored?")
        psql = [str(programs / "psql"), "--quiet", "--set", "ON_ERROR_STOP=1", "--file", str(dump), other]
        subprocess.run(psql, check=True, timeout=30, stdout=subprocess.DEVNULL)
        rows = stack.sql("SELECT client_id FROM chat_generation", dbname="restored")
        return set(client_ids) - {str(client_id) for (client_id,) in rows}
    finally:
        stack.sql("DROP DATABASE IF EXISTS restored")
