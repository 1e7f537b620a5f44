"""What people do and see on the page, in the words of the tests."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

OVER = re.compile("completed|stopped|failed|interrupted")


def composer(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Message")


def send(page: Page, text: str) -> None:
    composer(page).fill(text)
    composer(page).press("Enter")


def ask(page: Page, text: str) -> Locator:
    """Send, and wait until the turn is there; its reply, which is still being written."""
    num_replies = page.locator("article[data-role=assistant]").count()
    send(page, text)
    expect(page.locator("article[data-role=assistant]")).to_have_count(num_replies + 1)
    return reply(page)


def reply(page: Page) -> Locator:
    """The newest reply."""
    return page.locator("article[data-role=assistant]").last


def wait_for_end(page: Page, status: str = "completed") -> Locator:
    expect(reply(page)).to_have_attribute("data-status", status, timeout=20_000)
    return reply(page)


def say(page: Page, markdown: str, **script: object) -> Locator:
    """Have the model say exactly this; the finished reply."""
    settings = ";".join(f"{key}={value}" for key, value in {"rate": 0, **script}.items())
    ask(page, f"[[{settings};say]]{markdown}")
    return wait_for_end(page)


def answer(article: Locator) -> Locator:
    return article.locator("[data-part=answer]")


def top_of(page: Page) -> float:
    """How far the conversation is scrolled down."""
    return float(page.locator("[data-scroll]").evaluate("view => view.scrollTop"))


def distance_to_end(page: Page) -> float:
    script = "view => view.scrollHeight - view.clientHeight - view.scrollTop"
    return float(page.locator("[data-scroll]").evaluate(script))
