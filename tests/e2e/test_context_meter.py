"""How long what is about to be sent is."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from .steps import ask, composer, send, wait_for_end


def test_the_length_is_told_while_typing_and_what_does_not_fit_is_marked(page: Page) -> None:
    meter = page.locator("context-meter")
    composer(page).fill("Hello there")
    expect(meter).to_have_text(re.compile(r"\s*7 of 32,768 tokens\s*"))
    page.reload()
    expect(meter).to_have_text(re.compile(r"\s*7 of 32,768 tokens\s*"))
    composer(page).fill("")
    expect(meter).to_be_empty()

    ask(page, "[[rate=0;tokens=3]]" + "long " * 13_000)
    wait_for_end(page)
    composer(page).fill("Short")
    expect(meter).to_have_text(re.compile(r"\s*16,\d\d\d of 32,768 tokens\s*"))
    unread = page.locator("[data-unread]")
    expect(unread).to_have_count(0)
    composer(page).fill("too " * 17_000)
    expect(meter).to_contain_text("2 oldest messages do not fit")
    expect(unread).to_have_count(2)
    composer(page).fill("Short again")
    expect(unread).to_have_count(0)
    send(page, "[[tokens=3]] Short again")
    wait_for_end(page)
    expect(meter).to_be_empty()
