"""How long a search takes for somebody with 10,000 chats and 100,000 messages: `python -m bench.search`, on a database
of its own (DATABASE_URL) that `manage.py prepare` has made ready. The last line is JSON, in milliseconds."""

from __future__ import annotations

import json
import random
import statistics
import time

import django

django.setup()

from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402

from chat.models import Conversation, Message, User  # noqa: E402
from chat.models.ids import uuid7  # noqa: E402

NUM_CHATS = 10_000
NUM_MESSAGES = 10
NUM_ROUNDS = 20
CHINESE = "我们在北京大学学习人工智能语言模型数据结构今天天气很好请问怎么写代码测试程序设计"
QUERIES = ("w17", "w4999", "the", "the w17", "w1", "人工智能", "学", "北京 w12", "nothinglikeit")


def text(chance: random.Random) -> str:
    """A hundred words, the frequent ones more often, and a sentence without spaces."""
    words = [f"w{int(chance.paretovariate(0.7)) % 5000}" for _ in range(100)]
    start = chance.randrange(len(CHINESE) - 8)
    return " ".join(["the", *words, CHINESE[start : start + 8]])


def fill(user: User) -> None:
    chance = random.Random(1)
    for first in range(0, NUM_CHATS, 500):
        chats = [Conversation(owner=user, title=f"Chat {first + i} w{first + i}") for i in range(500)]
        Conversation.objects.bulk_create(chats)
        messages = (
            Message(id=uuid7(), conversation=chat, role="user", text=text(chance))
            for chat in chats
            for _ in range(NUM_MESSAGES)
        )
        Message.objects.bulk_create(messages, batch_size=1000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE chat_message, chat_conversation")


def percentiles(client: Client, address: str, rounds: int, **fields: str) -> dict[str, float]:
    taken: list[float] = []
    for _ in range(rounds):
        start = time.perf_counter()
        assert client.get(address, fields, headers={"HX-Request": "true"}).status_code == 200
        taken.append((time.perf_counter() - start) * 1000)
    return {"p50": round(statistics.median(taken), 1), "p95": round(sorted(taken)[int(0.95 * len(taken))], 1)}


def main() -> None:
    user = User.objects.create(email=f"{uuid7()}@example.org", name="Searcher")
    fill(user)
    client = Client()
    client.force_login(user)
    figures = {query: percentiles(client, "/search/", NUM_ROUNDS, q=query) for query in QUERIES}
    figures["sidebar"] = percentiles(client, "/chats/", NUM_ROUNDS)
    print(json.dumps(figures, ensure_ascii=False))


if __name__ == "__main__":
    main()
