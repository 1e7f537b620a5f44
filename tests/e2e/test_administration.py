"""From the invitation to the end: what an administrator and the person they invited see of each other."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.chat.factor import code_of
from tests.stack import SIGNED_IN, RunningStack

from .conftest import watch
from .steps import composer, say
from .test_accessible import AXE, violations

Contexts = Callable[..., BrowserContext]
PASSWORD = "a long test password"
EMAIL = "nina@example.org"


@pytest.fixture
def admin(stack: RunningStack, contexts: Contexts, faults: list[str]) -> Iterator[Page]:
    """Is one for the time of a test: the link that makes the first administrator is another test's."""
    role = "User.objects.filter(email='person900@example.org').update(is_superuser={0}, is_staff={0})"
    page = contexts(stack.run(f"{SIGNED_IN}\nresult = signed_in(900)\n{role.format(True)}")).new_page()
    watch(page, faults)
    yield page
    stack.run(f"from chat.models import User\n{role.format(False)}")


def test_T4_an_invited_person_signs_up_with_a_second_factor_chats_is_counted_and_deactivated(
    admin: Page, contexts: Contexts, faults: list[str]
) -> None:
    admin.goto("/admin/chat/invitation/add/")
    admin.get_by_role("textbox", name="E-mail").fill(EMAIL)
    admin.get_by_role("button", name="Save", exact=True).click()
    link = admin.locator(".messagelist code").inner_text()

    page = contexts().new_page()
    watch(page, faults)
    sign_up(page, link)
    set_up_and_sign_in_with_it(page)
    say(page, "Hello, Ada.")

    assert_counted(admin)
    admin.goto(f"/admin/chat/user/?q={EMAIL}")
    expect(admin.locator("#result_list tbody tr")).to_have_count(1)
    expect(admin.locator("#result_list td.field-has_second_factor img")).to_have_attribute("alt", "True")
    admin.locator("#result_list tbody input[type=checkbox]").check()
    admin.get_by_role("combobox", name="Action").select_option("deactivate")
    admin.get_by_role("button", name="Run").or_(admin.get_by_role("button", name="Go")).click()
    expect(page).to_have_url(re.compile("/accounts/login/"))
    page.goto("/")
    expect(page.get_by_role("button", name="Sign in", exact=True)).to_be_visible()


def sign_up(page: Page, link: str) -> None:
    page.goto(link)
    page.get_by_role("textbox", name="Name").fill("Nina")
    page.get_by_role("textbox", name="Password").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button").click()
    expect(composer(page)).to_be_visible()


def set_up_and_sign_in_with_it(page: Page) -> None:
    page.get_by_role("button", name="Account").click()
    page.get_by_role("link", name="Settings").click()
    settings = page.get_by_role("dialog", name="Settings")
    expect(settings.get_by_text("This device")).to_be_visible()
    settings.get_by_role("link", name="Second factor").click()
    page.get_by_role("link", name="Set up an app").click()
    assert not AXE.exists() or violations(page) == []
    assert page.get_by_role("img", name="QR code").evaluate("image => image.naturalWidth") > 0
    secret = page.locator("code").inner_text()
    page.get_by_role("textbox", name="Code").fill(code_of(secret))
    page.get_by_role("button", name="Turn it on").click()
    expect(page.get_by_role("listitem")).to_have_count(10)
    page.get_by_role("link", name="I have kept them").click()
    page.get_by_role("button", name="Account").click()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("textbox", name="E-mail").fill(EMAIL)
    page.get_by_role("textbox", name="Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("textbox", name="Code").fill(code_of(secret))
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(composer(page)).to_be_visible()


def assert_counted(admin: Page) -> None:
    """The review shows their reply, and its file is what the page shows."""
    address = f"/admin/usage/?by=user&user={EMAIL}"
    admin.goto(address)
    table = admin.get_by_role("region", name="Usage").get_by_role("table")
    heads = table.locator("thead th").all_text_contents()
    values = "rows => rows.map(row => [...row.querySelectorAll('data')].map(cell => cell.value))"
    shown = table.locator("tbody tr, tfoot tr").evaluate_all(values)
    names = table.locator("tbody th, tfoot th").all_text_contents()
    file = admin.request.get(address.replace("/?", ".csv?")).text().removeprefix("\ufeff")
    head, *rows = csv.reader(io.StringIO(file))
    assert [name.strip() for name in heads] == head
    assert [name.strip() for name in names] == [row[0] for row in rows] == [EMAIL, "All"]
    assert shown == [row[1:] for row in rows]
    assert dict(zip(head, rows[0], strict=True))["Replies"] == "1"


def test_a_passkey_is_added_and_signs_in_alone(stack: RunningStack, contexts: Contexts, faults: list[str]) -> None:
    context = contexts()
    name = stack.url.replace("127.0.0.1", "localhost")  # addresses of digits have no passkeys
    person = "User.objects.create_user('pia@example.org', 'a long test password', name='Pia')"
    stack.run(f"from chat.models import User\n{person}")
    page = context.new_page()
    watch(page, faults)
    device = context.new_cdp_session(page)
    device.send("WebAuthn.enable")
    abilities = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
    options = {**abilities, "isUserVerified": True, "automaticPresenceSimulation": True}
    device.send("WebAuthn.addVirtualAuthenticator", {"options": options})

    page.goto(f"{name}/accounts/login/?next=/accounts/factor/")
    page.get_by_role("textbox", name="E-mail").fill("pia@example.org")
    page.get_by_role("textbox", name="Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("link", name="Add a passkey").click()
    expect(page.get_by_role("textbox", name="Name")).to_have_value("Chrome on Linux")
    expect(page.locator(".errorlist")).to_be_hidden()
    page.get_by_role("textbox", name="Name").fill("My laptop")
    page.get_by_role("button", name="Add it").click()
    expect(page.get_by_role("listitem")).to_have_count(10)
    page.goto(f"{name}/accounts/factor/")
    expect(page.get_by_role("link", name="Remove My laptop")).to_be_visible()
    context.clear_cookies()
    page.goto(f"{name}/accounts/login/")
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(composer(page)).to_be_visible()
