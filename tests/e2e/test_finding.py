from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from .conftest import Open
from .steps import composer, say, send, wait_for_end


def test_H1_search_opens_by_keyboard_and_leads_to_the_message(page: Page) -> None:
    say(page, "The **quokka** lives on Rottnest.")
    page.goto("/")
    page.keyboard.press("Control+k")
    field = page.get_by_role("searchbox", name="Search chats")
    expect(field).to_be_focused()
    dialog = page.get_by_role("dialog", name="Search and commands")
    expect(dialog.get_by_role("option", name="New chat")).to_be_visible()
    field.fill("lives on rott")
    expect(dialog.locator("mark").first).to_be_visible()
    expect(dialog.get_by_role("option").first).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/c/[0-9a-f-]{36}\?at=[0-9a-f-]{36}#m-"))
    expect(page.locator("article:target")).to_contain_text("Rottnest")
    page.get_by_role("searchbox", name="Search chats").fill("dark")
    expect(dialog.get_by_role("option")).to_have_text([re.compile("dark")])
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_H2_a_chat_is_renamed_in_its_place_pinned_and_archived(page: Page) -> None:
    send(page, "A dull title")
    wait_for_end(page)
    chats = page.get_by_role("navigation", name="Chats")
    chats.get_by_role("link").dblclick()
    title = chats.get_by_role("textbox", name="Title")
    title.fill("Forget this")
    title.press("Escape")
    expect(chats.get_by_role("link")).to_have_text("A dull title")
    page.keyboard.press("F2")
    title.fill("A bright title")
    title.press("Enter")
    expect(page).to_have_title("A bright title · qwenweb")
    chats.get_by_role("button", name="Chat options").click()
    chats.get_by_role("button", name="Pin", exact=True).click()
    expect(chats.get_by_role("heading")).to_have_text("Pinned")
    chats.get_by_role("link").hover()
    chats.get_by_role("button", name="Chat options").click()
    chats.get_by_role("button", name="Archive").click()
    expect(chats.get_by_role("link")).to_have_count(0)


def test_S7_a_finished_unread_chat_has_a_dot_until_it_is_opened(page: Page) -> None:
    send(page, "[[tokens=40;rate=30]]Take your time")
    expect(page.locator("article[data-role=assistant]")).to_be_visible()
    page.goto("/")
    chats = page.get_by_role("navigation", name="Chats")
    expect(chats.get_by_role("img", name="Being answered")).to_be_visible()
    expect(chats.get_by_role("img", name="Unread")).to_be_visible()
    chats.get_by_role("link").click()
    expect(chats.get_by_role("img", name="Unread")).to_have_count(0)


def test_B1_shortcuts_work_and_can_be_turned_off(open_page: Open) -> None:
    page = open_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    say(page, "Look:\n\n```python\nprint(1)\n```")
    page.keyboard.press("Control+Shift+C")
    expect(page.locator("copy-button[data-copied]")).to_have_count(1)
    assert "Look:" in page.evaluate("navigator.clipboard.readText()")
    page.keyboard.press("Control+Shift+Semicolon")
    expect(page.locator(".code copy-button[data-copied]")).to_have_count(1)
    assert page.evaluate("navigator.clipboard.readText()") == "print(1)"
    page.get_by_role("link", name="qwenweb").focus()
    page.keyboard.press("Shift+Escape")
    expect(composer(page)).to_be_focused()
    page.keyboard.press("Control+Shift+Backspace")
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    page.keyboard.press("Control+/")
    page.get_by_role("dialog").get_by_role("checkbox").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("Control+/")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.evaluate("localStorage.removeItem('setting:shortcuts')")
    page.keyboard.press("Control+Shift+O")
    expect(page).to_have_url(re.compile(r"/$"))


def test_H3_a_temporary_chat_looks_different_and_is_in_no_list(page: Page) -> None:
    page.goto("/?temporary")
    expect(page.get_by_text("Temporary: gone when you leave")).to_be_visible()
    send(page, "Between us")
    wait_for_end(page)
    expect(page.get_by_text("Temporary: gone when you leave")).to_be_visible()
    expect(page.get_by_role("navigation", name="Chats").get_by_role("link")).to_have_count(0)
