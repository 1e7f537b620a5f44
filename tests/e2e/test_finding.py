from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from tests.conftest import wait_for
from tests.stack import RunningStack

from .conftest import Open
from .steps import ask, composer, say, send, wait_for_end


def test_H1_search_opens_by_keyboard_and_leads_to_the_message(page: Page) -> None:
    say(page, "The **quokka** lives on Rottnest. 夜の東京タワー")
    expect(page.get_by_role("navigation", name="Chats").get_by_role("link")).to_be_visible()
    page.keyboard.press("F2")
    page.get_by_role("textbox", name="Title").fill("Marsupials")
    page.keyboard.press("Enter")
    expect(page).to_have_title("Marsupials · qwenweb")
    page.goto("/")
    page.keyboard.press("Control+k")
    field = page.get_by_role("searchbox", name="Search chats")
    expect(field).to_be_focused()
    dialog = page.get_by_role("dialog", name="Search and commands")
    options = dialog.get_by_role("option")
    expect(options.first).to_have_text(re.compile("New chat"))
    for key, place in (("ArrowDown", 1), ("ArrowDown", 2), ("ArrowUp", 1), ("ArrowUp", 0), ("ArrowUp", -1)):
        page.keyboard.press(key)
        chosen = options.nth(place)
        expect(chosen).to_have_attribute("aria-selected", "true")
        expect(field).to_have_attribute("aria-activedescendant", str(chosen.get_attribute("id")))
    field.fill("marsup")
    expect(dialog.locator(".found__title mark")).to_have_text("Marsup")
    field.fill("京タワー")
    expect(dialog.locator(".found__snippet mark")).to_have_text("京タワー")
    field.fill("lives on rott")
    expect(dialog.locator(".found__snippet mark")).to_have_text(["lives", "on", "Rott"])
    expect(options.first).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/c/[0-9a-f-]{36}\?at=[0-9a-f-]{36}#m-"))
    expect(page.locator("article:target")).to_contain_text("Rottnest")
    expect(page.locator("article:target")).to_be_in_viewport()
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


def options_of(page: Page, title: str, item: str) -> Locator:
    """Choose an item of a chat's menu; the dialog of the page."""
    chats = page.get_by_role("navigation", name="Chats")
    chats.get_by_role("link", name=title).hover()
    chats.get_by_role("listitem").filter(has_text=title).get_by_role("button", name="Chat options").click()
    page.locator(".menu:popover-open").get_by_text(item, exact=True).click()
    return page.get_by_role("dialog")


def test_H2_a_chat_is_named_after_its_reply_shared_and_kept_in_a_folder(page: Page) -> None:
    ask(page, "[[rate=8;say]]# A bright idea\n\nWords after it.")
    chats = page.get_by_role("navigation", name="Chats")
    expect(chats.get_by_role("link")).to_have_text("[[rate=8;say]]# A bright idea")
    wait_for_end(page)
    expect(chats.get_by_role("link")).to_have_text("A bright idea")
    expect(page).to_have_title("A bright idea · qwenweb")
    page.keyboard.press("F2")
    chats.get_by_role("textbox", name="Title").fill("Mine")
    page.keyboard.press("Enter")
    expect(page).to_have_title("Mine · qwenweb")
    page.locator("article").last.get_by_role("button", name="Regenerate").click()
    expect(page.get_by_role("group", name="Version 2 of 2")).to_be_visible()
    wait_for_end(page)
    expect(chats.get_by_role("link")).to_have_text("Mine")

    dialog = options_of(page, "Mine", "Share")
    dialog.get_by_role("button", name="Create link").click()
    expect(dialog.get_by_role("textbox", name="Link")).to_be_visible()
    dialog.get_by_role("button", name="Close").click()
    expect(chats.get_by_role("img", name="Shared")).to_be_visible()

    dialog = options_of(page, "Mine", "Move to folder")
    dialog.get_by_role("textbox", name="Or a new folder").fill("Physics")
    dialog.get_by_role("button", name="Move").click()
    expect(dialog).to_be_hidden()
    page.reload()
    page.get_by_role("link", name="Physics").click()
    page.get_by_role("textbox", name="System prompt").fill("Answer in rhymes.")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("textbox", name="System prompt")).to_have_value("Answer in rhymes.")
    expect(page.get_by_role("link", name="Mine")).to_be_visible()
    page.get_by_role("link", name="New chat in this folder").click()
    send(page, "Why is the sky blue?")
    wait_for_end(page)
    expect(page.get_by_role("link", name="Physics")).to_be_visible()
    options_of(page, "Why is the sky", "Delete").get_by_role("button", name="Delete").click()
    expect(chats.get_by_role("link")).to_have_text(["Mine"])


def test_H3_many_are_archived_or_deleted_at_once_and_all_only_for_a_word(page: Page) -> None:
    for title in ("One", "Two", "Three"):
        page.goto("/")
        send(page, title)
        expect(page).to_have_url(re.compile("/c/"))
    page.get_by_role("button", name="Account").click()
    page.get_by_role("link", name="Manage chats").click()
    for titles, act in ((("One", "Two"), "Archive selected"), (("Three",), "Delete selected")):
        for title in titles:
            page.get_by_role("checkbox", name=title).check()
        page.get_by_role("button", name=act).click()
        expect(page.get_by_role("checkbox", name=titles[0])).to_have_count(0)
    expect(page.get_by_role("checkbox")).to_have_count(0)
    page.goto("/archive/")
    expect(page.get_by_role("listitem")).to_have_count(2)
    page.get_by_role("listitem").filter(has_text="One").get_by_role("button", name="Put back").click()
    expect(page.get_by_role("listitem")).to_have_count(1)
    page.goto("/settings/deletion/")
    word = page.get_by_role("textbox", name="Type “delete”")
    for typed, told in (("yes", "Nothing was deleted"), ("delete", "All chats are deleted")):
        word.fill(typed)
        page.get_by_role("button", name="Delete all").click()
        expect(page.get_by_text(told)).to_be_visible()
    page.goto("/archive/")
    expect(page.get_by_text("Nothing is archived.")).to_be_visible()


def test_S7_a_finished_unread_chat_has_a_dot_until_it_is_opened(page: Page) -> None:
    send(page, "[[tokens=40;rate=30]]Take your time")
    expect(page.locator("article[data-role=assistant]")).to_be_visible()
    page.goto("/")
    chats = page.get_by_role("navigation", name="Chats")
    expect(chats.get_by_role("img", name="Being answered")).to_be_visible()
    expect(page).to_have_title("… qwenweb")
    expect(chats.get_by_role("img", name="Unread")).to_be_visible(timeout=20_000)
    expect(page).to_have_title("● qwenweb")
    page.reload()
    expect(page).to_have_title("● qwenweb")
    chats.get_by_role("link").click()
    expect(chats.get_by_role("img", name="Unread")).to_have_count(0)
    expect(page).to_have_title(re.compile(r"^\[\["))


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
    address, dialog, chats = page.url, page.get_by_role("dialog"), page.get_by_role("navigation", name="Chats")
    # What is typed is typed, and none of the keys does anything without Ctrl or ⌘.
    composer(page).press_sequentially("kocs;S/")
    expect(composer(page)).to_have_value("kocs;S/")
    composer(page).fill("")
    expect(dialog).to_have_count(0)
    page.keyboard.press("Control+Shift+Backspace")
    dialog.get_by_role("button", name="Cancel").click()
    page.keyboard.press("Meta+k")
    expect(page.get_by_role("searchbox", name="Search chats")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    for is_shown in (False, True):
        page.keyboard.press("Control+Shift+S")
        expect(chats).to_be_visible(visible=is_shown)
    page.keyboard.press("Control+/")
    for keys in ("Ctrl+K", "Ctrl+Shift+O", "Shift+Esc", "Ctrl+Shift+C", "Ctrl+Shift+;", "Ctrl+Shift+S", "Esc"):
        expect(dialog.locator("kbd").get_by_text(keys, exact=True)).to_be_visible()
    dialog.get_by_role("checkbox").uncheck()
    page.keyboard.press("Escape")
    ask(page, "[[tokens=4000;rate=40]]")
    page.get_by_role("link", name="qwenweb").focus()
    for off in ("k", "/", "Shift+O", "Shift+S", "Shift+C", "Shift+Backspace"):
        page.keyboard.press(f"Control+{off}")
    for off in ("F2", "Shift+Escape", "Escape"):
        page.keyboard.press(off)
    expect(page.get_by_role("link", name="qwenweb")).to_be_focused()
    expect(dialog).to_have_count(0)
    expect(chats).to_be_visible()
    assert page.url == address
    expect(page.locator("article").last).to_have_attribute("data-status", "running")
    page.evaluate("localStorage.removeItem('setting:shortcuts')")
    page.keyboard.press("Escape")
    wait_for_end(page, "stopped")
    page.keyboard.press("Control+Shift+O")
    expect(page).to_have_url(re.compile(r"/$"))


def test_H3_a_temporary_chat_looks_different_is_in_no_list_and_gone_when_it_is_left(
    page: Page, stack: RunningStack
) -> None:
    page.goto("/?temporary")
    edge = "getComputedStyle(document.querySelector('.composer')).borderTopStyle"
    assert page.evaluate(edge) == "dashed"
    expect(page.get_by_text("Temporary: gone when you leave")).to_be_visible()
    send(page, "Between us")
    wait_for_end(page)
    expect(page.get_by_text("Temporary: gone when you leave")).to_be_visible()
    chats = page.get_by_role("navigation", name="Chats")
    expect(chats.get_by_role("link")).to_have_count(0)
    address = page.url
    page.get_by_role("link", name="qwenweb").click()
    expect(page.locator("article")).to_have_count(0)
    assert page.evaluate(edge) == "solid"
    # A page that is only loaded again comes back within half a minute; nobody came back.
    left = f"FROM chat_conversation WHERE id = '{address[-36:]}' AND expires_at < now() + interval '31 seconds'"
    wait_for(lambda: stack.sql(f"SELECT 1 {left}"))
    stack.sql(f"UPDATE chat_conversation SET expires_at = now() WHERE id IN (SELECT id {left})")
    wait_for(lambda: (answer := page.request.get(address)).status == 404 and answer)
    page.get_by_role("searchbox", name="Search chats").fill("Between us")
    expect(page.get_by_text("No chat has these words.")).to_be_visible()
