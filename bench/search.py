"""How long the lists take for somebody with 10,000 chats and 100,000 messages: `python -m bench.search`.

The whole stack runs; requests come over HTTP, one after the other. The last line is JSON, in milliseconds.
"""

from __future__ import annotations

import http.client
import json
import random
import statistics
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from tests.stack import RunningStack, running_stack

NUM_CHATS = 10_000
NUM_MESSAGES = 10
NUM_REQUESTS = 60
NUM_UNCOUNTED = 5
CHINESE = "我们在北京大学学习人工智能语言模型数据结构今天天气很好请问怎么写代码测试程序设计"
# Rare and frequent words, beginnings of words, pieces of text without spaces, what is nowhere.
QUERIES = ("w17", "w4999", "the", "the w17", "w1", "人工智能", "学", "北京 w12", "nothinglikeit")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="qwenweb-bench-") as directory:
        Path(directory).chmod(0o755)  # Postgres runs as another user where this is root
        with running_stack(Path(directory) / "var") as stack:
            [session] = stack.people(1)
            figures = measure(stack, session, "person0@example.org")
    print(json.dumps({"bench": "search", **figures}))


def measure(stack: RunningStack, session: str, email: str) -> dict[str, float]:
    """Fill this person's chats; the 95th percentiles of the list and of the slowest query. Prints those of all."""
    stack.run(f"from bench.search import fill\nfill({email!r})")

    def taken(address: str) -> float:
        return p95(request_ms(stack, session, address, **{"HX-Request": "true"}))

    by_query = {query: taken(f"/search/?q={quote(query)}") for query in QUERIES}
    for query, milliseconds in by_query.items():
        print(f"search {query:<21}{milliseconds}")
    return {"sidebar_p95_ms": taken("/chats/"), "search_p95_ms": max(by_query.values())}


def fill(email: str) -> None:
    """Chats and messages for a person of this database; Django is set up."""
    from django.db import connection

    from chat.models import Conversation, Message, User

    chance = random.Random(1)
    user = User.objects.get(email=email)
    for first in range(0, NUM_CHATS, 500):
        chats = [Conversation(owner=user, title=f"Chat {first + i} w{first + i}") for i in range(500)]
        Conversation.objects.bulk_create(chats)
        messages = [
            Message(conversation=chat, role="user", text=text(chance)) for chat in chats for _ in range(NUM_MESSAGES)
        ]
        Message.objects.bulk_create(messages, batch_size=500)
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = '5min'")
        cursor.execute("VACUUM ANALYZE chat_message, chat_conversation")


def text(chance: random.Random) -> str:
    """A hundred words, the frequent ones more often, and a sentence without spaces."""
    words = [f"w{int(chance.paretovariate(0.7)) % 5000}" for _ in range(100)]
    start = chance.randrange(len(CHINESE) - 8)
    return " ".join(["the", *words, CHINESE[start : start + 8]])


def request_ms(stack: RunningStack, session: str, address: str, **headers: str) -> list[float]:
    """How long the server takes for a page, from the request to its last byte, again and again on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.port)
    times: list[float] = []
    for _ in range(NUM_REQUESTS):
        started = time.perf_counter()
        connection.request("GET", address, headers={"Cookie": f"session={session}", **headers})
        response = connection.getresponse()
        response.read()
        times.append((time.perf_counter() - started) * 1000)
        if response.status != 200:
            raise RuntimeError(f"{address} was answered with {response.status}.")
    connection.close()
    return times[NUM_UNCOUNTED:]


def p95(times: list[float]) -> float:
    return round(statistics.quantiles(times, n=20, method="inclusive")[18], 1)


if __name__ == "__main__":
    main()
