"""A chat is shared, opened by those it is meant for, updated and revoked; and watched while it is written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from playwright.sync_api import BrowserContext, Locator, Page, expect

from .conftest import Open, watch
from .steps import ask, reply, say, wait_for_end
from .test_accessible import AXE, violations

Contexts = Callable[..., BrowserContext]


def share_dialog(page: Page) -> Locator:
    page.get_by_role("button", name="Share").click()
    dialog = page.get_by_role("dialog", name="Share chat")
    expect(dialog).to_be_visible()
    return dialog


def create(dialog: Locator) -> str:
    """Press the button; the address in the field that appears."""
    dialog.get_by_role("button", name="Create link").click()
    field = dialog.get_by_role("textbox", name="Link")
    expect(field).to_be_visible()
    return field.input_value()


def test_P1_P2_a_chat_is_shared_opened_updated_and_revoked(
    open_page: Open, contexts: Contexts, session_keys: Iterator[str], faults: list[str]
) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    expect(page.get_by_role("button", name="Share")).to_be_hidden()
    say(page, "**Fine**, write to [me](mailto:olga@example.org).", reasoning=5)

    # What will be shared is on the screen before it exists, and follows the ticks.
    dialog = share_dialog(page)
    choices = dialog.get_by_role("group", name="Who can open it")
    assert choices.get_by_role("radio").count() == 3
    expect(dialog.get_by_text("2 messages are shared:")).to_be_visible()
    expect(dialog.get_by_text(re.compile("This chat up to “.*”. What comes later is not shared."))).to_be_visible()
    expect(dialog.get_by_role("checkbox", name=re.compile("Model: "))).to_be_checked()
    expect(dialog.get_by_role("spinbutton", name="Ends after days")).to_have_value("30")
    assert not AXE.exists() or violations(page) == []
    preview = dialog.locator("#share-preview")
    expect(preview).to_contain_text("█████")
    expect(preview).not_to_contain_text("olga@example.org")
    expect(preview.locator("details:not([hidden])")).to_have_count(0)
    dialog.get_by_role("checkbox", name="Thinking").check()
    expect(preview.locator("details:not([hidden])")).to_have_count(1)
    dialog.get_by_role("checkbox", name="Thinking").uncheck()
    expect(preview.locator("details:not([hidden])")).to_have_count(0)
    choices.get_by_role("radio", name="Named people").check()
    dialog.get_by_role("textbox", name="E-mail addresses").fill("person0@example.org")
    named = create(dialog)
    expect(dialog.get_by_role("status")).to_have_text("Link copied")
    assert page.evaluate("navigator.clipboard.readText()") == named
    dialog.get_by_role("button", name="Close").click()
    expect(page.get_by_role("navigation", name="Chats").get_by_role("img", name="Shared")).to_be_visible()

    dialog = share_dialog(page)
    dialog.get_by_role("radio", name="Anyone with the link").check()
    public = create(dialog)
    dialog.get_by_role("button", name="Close").click()

    # Somebody from outside, without script and on a phone; a member.
    outsider = contexts(java_script_enabled=False, viewport={"width": 390, "height": 844}).new_page()
    assert outsider.goto(named) and outsider.get_by_role("heading", name="Not here").is_visible()
    shown = outsider.goto(public)
    assert shown and shown.headers["x-robots-tag"] == "noindex, nofollow, noarchive"
    expect(reply(outsider)).to_contain_text("Fine")
    title = page.get_by_role("navigation", name="Chats").get_by_role("link", name=re.compile("Fine")).first
    expect(outsider.get_by_role("heading", level=1)).to_have_text(title.inner_text())
    about = outsider.get_by_role("banner").or_(outsider.locator(".shared__head"))
    expect(about.get_by_role("time")).to_be_visible()
    expect(about.get_by_text("scripted")).to_be_visible()
    expect(outsider.get_by_role("button", name="Copy")).to_have_count(0)
    assert outsider.evaluate("document.documentElement.scrollWidth") <= 390
    outsider.get_by_role("button", name="Continue in my account").click()
    expect(outsider).to_have_url(re.compile(r"/accounts/login/\?next=/s/"))

    member = contexts(next(session_keys)).new_page()
    watch(member, faults)
    member.goto(named)
    expect(member.get_by_role("heading", name="Not here")).to_be_visible()
    member.goto(public)
    expect(member.locator("article")).to_have_count(2)
    assert not AXE.exists() or violations(member) == []
    member.get_by_role("button", name="Continue in my account").click()
    expect(member).to_have_url(re.compile("/c/"))
    expect(reply(member)).to_contain_text("Fine")

    # Later words come with an update only.
    say(page, "Later words.")
    outsider.goto(public)
    expect(outsider.locator("article")).to_have_count(2)
    page.goto("/settings/links/")
    page.get_by_role("link", name="Update link").first.click()
    expect(page.locator("ins").filter(has_text="Later words.").first).to_be_visible()
    page.get_by_role("button", name="Update link").click()
    expect(page.get_by_role("textbox", name="Link")).to_have_value(public)
    outsider.reload()
    expect(reply(outsider)).to_contain_text("Later words.")

    page.goto("/settings/links/")
    page.get_by_role("button", name="Revoke").first.click()
    expect(page.get_by_text("Revoked")).to_be_visible()
    assert not AXE.exists() or violations(page) == []
    answer, unknown = outsider.goto(public), outsider.request.get("/s/never/")
    assert answer and (answer.status, answer.body()) == (404, unknown.body())


def test_P1_a_team_mate_watches_a_reply_being_written(
    open_page: Open, contexts: Contexts, session_keys: Iterator[str], faults: list[str]
) -> None:
    page = open_page()
    ask(page, "[[tokens=120;rate=30]] Hello")
    dialog = share_dialog(page)
    dialog.get_by_role("checkbox", name="Watch live").check()
    address = create(dialog)
    dialog.get_by_role("button", name="Close").click()

    member = contexts(next(session_keys)).new_page()
    watch(member, faults)
    member.goto(address)
    expect(reply(member)).to_have_attribute("data-status", "running")
    seen = member.locator("[data-part=answer]").inner_text()
    wait_for_end(page)
    expect(member.locator("reply-stream")).to_have_count(0)
    whole = reply(page).locator("[data-part=answer]").inner_text()
    expect(reply(member).locator("[data-part=answer]")).to_have_text(whole, use_inner_text=True)
    assert seen[:40] == whole[: len(seen)][:40]
