"""Choosing the model, its thinking, and what to begin with."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.stack import RunningStack

from .conftest import Open
from .steps import ask, composer, reply, send, wait_for_end


def test_E1_C9_from_a_suggestion_to_a_reply_that_thinks_and_is_told_to_answer(page: Page) -> None:
    expect(page.get_by_role("heading", name="What would you like to know")).to_be_visible()
    expect(composer(page)).to_be_focused()
    assert 1 <= page.get_by_role("list", name="Suggestions").get_by_role("link").count() <= 4
    page.get_by_role("link", name="Translate a text").press("Enter")
    expect(composer(page)).to_have_value(re.compile("^Translate this text"))
    page.get_by_role("link", name="Explain something").click()
    expect(composer(page)).to_be_focused()
    assert composer(page).input_value().startswith("Explain this step by step")
    expect(page.locator("article")).to_have_count(0)

    expect(page.get_by_role("combobox", name="Model", exact=True)).to_contain_text("scripted")
    thinking = page.locator("form.composer").get_by_role("button", name="Thinking")
    expect(thinking).to_have_attribute("aria-pressed", "true")
    ask(page, "[[tokens=5;reasoning=3000;rate=30]]")
    page.get_by_role("button", name="Answer now").click()
    wait_for_end(page)
    expect(reply(page).get_by_text("Thought for")).to_be_visible()
    expect(page.get_by_role("button", name="Answer now")).to_be_hidden()

    thinking.click()
    ask(page, "[[tokens=5;reasoning=30]]")
    wait_for_end(page)
    expect(reply(page).locator("details")).to_be_hidden()
    page.reload()
    expect(thinking).to_have_attribute("aria-pressed", "false")


def test_E2_without_a_worker_the_page_says_so_and_keeps_the_draft(open_page: Open, stack: RunningStack) -> None:
    page = open_page()
    who = page.evaluate("document.body.dataset.user")
    stack.sql(f"UPDATE chat_user SET is_staff = true WHERE id = '{who}'")
    stack.run("from chat.models import Worker\n[worker.drain() for worker in Worker.serving()]")
    try:
        page.reload()
        notice = page.get_by_role("status").filter(has_text="No model is running right now")
        expect(notice).to_be_visible()
        expect(notice.get_by_role("link", name="Look at the workers")).to_be_visible()
        stack.sql(f"UPDATE chat_user SET is_staff = false WHERE id = '{who}'")
        composer(page).fill("Kept")
        page.reload()
        expect(notice).to_be_visible()
        expect(notice.get_by_role("link")).to_have_count(0)
        expect(composer(page)).to_have_value("Kept")
        send(page, "Answered later")
        expect(reply(page).get_by_text("No model is running right now")).to_be_visible()
        composer(page).fill("Kept too")
    finally:
        stack.run("from chat.models import Worker\n[worker.undrain() for worker in Worker.live()]")
    wait_for_end(page)
    expect(notice).to_have_count(0)
    expect(composer(page)).to_have_value("Kept too")
