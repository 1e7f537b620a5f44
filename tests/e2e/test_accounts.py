from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import BrowserContext, Page, expect

from tests.stack import RunningStack

from .conftest import Open, watch
from .steps import composer, send, wait_for_end

PASSWORD = "a long test password"


def sign_in(page: Page, email: str, password: str) -> None:
    page.get_by_role("textbox", name="E-mail").fill(email)
    page.get_by_role("textbox", name="Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_the_set_up_link_makes_one_administrator_who_signs_out_and_in(
    stack: RunningStack, contexts: Callable[..., BrowserContext], faults: list[str]
) -> None:
    page = contexts().new_page()
    watch(page, faults)
    link = re.search(r"http://\S+/setup/\S+/", stack.output)
    assert link
    page.goto(link[0])
    page.get_by_role("textbox", name="Name").fill("Ada Lovelace")
    page.get_by_role("textbox", name="E-mail").fill("ada@example.org")
    page.get_by_role("textbox", name="Password").fill("password12")
    page.get_by_role("button", name="Create administrator").click()
    expect(page.get_by_text("too common")).to_be_visible()
    page.get_by_role("textbox", name="Password").fill(PASSWORD)
    page.get_by_role("button", name="Create administrator").click()
    expect(composer(page)).to_be_visible()
    page.goto(link[0])
    expect(page.get_by_text("This link has been used")).to_be_visible()
    page.goto("/")
    page.get_by_role("button", name="Account").click()
    page.get_by_role("button", name="Sign out").click()
    sign_in(page, "ada@example.org", "a wrong password")
    expect(page.get_by_text("not correct")).to_be_visible()
    sign_in(page, "ada@example.org", PASSWORD)
    expect(composer(page)).to_be_visible()


def test_signing_out_takes_every_page_of_the_session_to_sign_in_and_the_draft_is_forgotten(page: Page) -> None:
    send(page, "[[tokens=3]]")
    wait_for_end(page)
    other = page.context.new_page()
    other.goto(page.url)
    composer(page).fill("for nobody's eyes")
    page.get_by_role("button", name="Account").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    expect(other).to_have_url(re.compile("/accounts/login/"))
    assert page.evaluate("Object.keys(localStorage).filter(key => key.startsWith('draft'))") == []


def test_strangers_are_sent_to_sign_in_and_back(page: Page, open_page: Open) -> None:
    send(page, "Mine")
    wait_for_end(page)
    path = page.url.rpartition("/c/")[2]
    page.context.clear_cookies()
    page.reload()
    expect(page).to_have_url(re.compile(f"/accounts/login/\\?next=/c/{path}"))
    page.goto("/accounts/signup/")
    expect(page.get_by_text("by invitation")).to_be_visible()
