"""From the invitation to the end: what an administrator and the person they invited see of each other."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.chat.factor import code_of
from tests.stack import RunningStack

from .conftest import watch
from .steps import composer, say
from .test_accessible import AXE, overflow, violations

Contexts = Callable[..., BrowserContext]
PASSWORD = "a long test password"
EMAIL = "nina@example.org"


def test_T4_an_invited_person_signs_up_with_a_second_factor_chats_is_counted_and_deactivated(
    admin: Page, contexts: Contexts, faults: list[str]
) -> None:
    admin.goto("/admin/chat/invitation/add/")
    admin.get_by_role("textbox", name="E-mail").fill(EMAIL)
    assert admin.get_by_role("combobox", name="Role").locator("option").all_inner_texts() == [
        "Member",
        "Auditor: sees use and records, changes nothing",
        "Administrator",
    ]
    expect(admin.get_by_role("textbox", name="Date")).to_have_value(re.compile(r"\d{4}-\d\d-\d\d"))
    admin.get_by_role("button", name="Save", exact=True).click()
    link = admin.locator(".messagelist code").inner_text()

    page = contexts().new_page()
    watch(page, faults)
    sign_up(page, link)
    set_up_and_sign_in_with_it(page)
    say(page, "Hello, Ada.")

    assert_counted(admin)
    admin.goto(f"/admin/chat/user/?q={EMAIL}&role=member&is_active__exact=1")
    expect(admin.locator("#result_list tbody tr")).to_have_count(1)
    expect(admin.locator("#result_list td.field-role_name")).to_have_text("Member")
    expect(admin.locator("#result_list td.field-is_active img")).to_have_attribute("alt", "True")
    expect(admin.locator("#result_list td.field-last_used_at")).to_have_text(re.compile(r"\d{4}"))
    expect(admin.locator("#result_list td.field-has_second_factor img")).to_have_attribute("alt", "True")
    admin.locator("#result_list tbody input[type=checkbox]").check()
    admin.get_by_role("combobox", name="Action").select_option("deactivate")
    admin.get_by_role("button", name="Run").or_(admin.get_by_role("button", name="Go")).click()
    expect(page).to_have_url(re.compile("/accounts/login/"))
    page.goto("/")
    expect(page.get_by_role("button", name="Sign in", exact=True)).to_be_visible()
    admin.goto(f"/admin/chat/audit/?q={EMAIL}")
    acts = admin.locator("#result_list td.field-act").all_inner_texts()
    assert {"invitation.added", "user.deactivated"} <= set(acts)


PREPARE = """
INSERT INTO chat_quota (id, most, measure, period, user_id, is_pool, model)
    SELECT gen_random_uuid(), 1000000, 'tokens', 'day', id, false, '' FROM chat_user
    WHERE email = 'person900@example.org';
INSERT INTO chat_moderationrule (name, pattern, side, action, replacement, is_active)
    VALUES ('A long name of a rule', 'never said in any test', 'both', 'mark', '', true);
INSERT INTO auth_group (name) VALUES ('Research');
INSERT INTO chat_grouprule (group_id, weight, keep_days) SELECT id, 1, 365 FROM auth_group;
"""


@pytest.fixture
def rules(stack: RunningStack, admin: Page) -> Iterator[None]:
    """Something on every page of the administration, for the time of a test."""
    stack.sql(PREPARE)
    yield
    stack.sql("TRUNCATE chat_quota, chat_moderationrule, chat_banner, auth_group CASCADE")


def test_T2_T3_T5_an_administrator_sees_the_use_of_all_and_their_own_and_sets_banners(
    admin: Page, rules: None, faults: list[str]
) -> None:
    admin.goto("/")
    say(admin, "Hello.")
    own_use(admin)
    all_use(admin)
    banners(admin)


def own_use(page: Page) -> None:
    page.goto("/settings/usage/")
    expect(page.get_by_role("meter", name="1,000,000 tokens a day")).to_be_visible()
    expect(page.get_by_text(re.compile(r"of 1,000,000 tokens a day left, until .+ \(UTC\)"))).to_be_visible()
    heads = ["Replies", "Prompt tokens", "Completion tokens", "of them thinking", "Device seconds"]
    for name, number in (("Day", 30), ("Model", 1)):
        table = page.get_by_role("region", name=name, exact=True).get_by_role("table")
        assert table.get_by_role("columnheader").all_inner_texts() == [name, *heads]
        expect(table.locator("tbody tr")).to_have_count(number)
        assert int(table.locator("tfoot data").first.get_attribute("value") or 0) >= 1


def all_use(page: Page) -> None:
    """The filters and the order stand in the address; the pictures say the same as the table."""
    page.goto("/admin/usage/?by=user")
    page.get_by_label("Model").select_option("scripted")
    page.get_by_label("Person").fill("person900@example.org")
    page.get_by_role("button", name="Show").click()
    expect(page).to_have_url(re.compile("user=person900%40example.org.*model=scripted.*by=user"))
    page.get_by_role("navigation", name="Table by").get_by_role("link", name="Day").click()
    expect(page.get_by_label("Person")).to_have_value("person900@example.org")
    expect(page.get_by_text("whole days in the zone UTC")).to_be_visible()
    rows = page.get_by_role("region", name="Usage").locator("tbody tr")
    expect(rows).to_have_count(30)
    expect(rows.first.locator("data").first).to_have_text("0")
    chart = page.get_by_role("img", name="Replies; the table below has the numbers")
    expect(chart.locator("rect")).to_have_count(30)
    values = rows.evaluate_all("rows => rows.map((row) => row.querySelector('data').textContent)")
    drawn = chart.locator("title").evaluate_all("titles => titles.map((each) => each.textContent.split(': ')[1])")
    assert drawn == values
    for order in ("descending", "ascending"):
        page.get_by_role("columnheader", name="Replies").get_by_role("link").click()
        expect(page.get_by_role("columnheader", name="Replies")).to_have_attribute("aria-sort", order)
        numbers = rows.evaluate_all("rows => rows.map((row) => Number(row.querySelector('data').value))")
        assert numbers == sorted(numbers, reverse=order == "descending")
    page.reload()
    expect(page.get_by_label("Model")).to_have_value("scripted")


def banners(page: Page) -> None:
    for level, text in (("warning", "Updates tonight"), ("error", "The disk is full")):
        page.goto("/admin/chat/banner/add/")
        page.get_by_role("combobox", name="Level").select_option(level)
        page.get_by_role("textbox", name="Text").fill(text)
        expect(page.get_by_role("textbox", name="Date").first).to_have_value(re.compile(r"\d{4}-\d\d-\d\d"))
        page.get_by_role("button", name="Save", exact=True).click()
    page.goto("/")
    notices = page.get_by_role("region", name="Notices")
    expect(notices.get_by_role("alert")).to_have_text("The disk is full")
    expect(notices.get_by_role("alert").get_by_role("button")).to_have_count(0)
    notices.get_by_role("button", name="Dismiss").click()
    expect(notices.get_by_role("status")).to_have_count(0)
    page.reload()
    expect(notices.get_by_role("alert")).to_be_visible()
    expect(notices.get_by_role("status")).to_have_count(0)


def test_A2_the_administration_fits_a_phone_and_axe_finds_nothing_serious_there(
    admin: Page, rules: None, stack: RunningStack, faults: list[str]
) -> None:
    admin.goto("/")
    say(admin, "Hello.")
    admin.get_by_role("button", name="Share", exact=True).click()
    admin.get_by_role("dialog").get_by_role("button", name="Create link").click()
    expect(admin.get_by_role("dialog").get_by_role("textbox", name="Link")).to_be_visible()
    stack.sql("INSERT INTO chat_banner (id, level, text, audience, starts_at) VALUES " + BANNERS)
    admin.set_viewport_size({"width": 390, "height": 844})
    found: list[str] = []
    for address in (
        "/",
        "/admin/",
        "/admin/usage/?by=user",
        "/admin/ledger/",
        "/admin/workers/",
        "/admin/chat/user/",
        "/admin/chat/audit/",
        "/admin/chat/sharelink/",
        "/admin/auth/group/",
        "/admin/auth/group/add/",
        "/admin/chat/moderationrule/",
        "/admin/chat/banner/",
        "/admin/chat/banner/add/",
        "/admin/chat/quota/",
    ):
        admin.goto(address)
        found += overflow(admin) + (violations(admin) if AXE.exists() else [])
    assert "\n".join(found) == ""
    # Where Django's scripts have styled something, axe reads its markup again, and the policy stops the style in that.
    faults[:] = [fault for fault in faults if "Applying inline style" not in fault]


BANNERS = ", ".join(
    f"(gen_random_uuid(), '{level}', 'A banner, see https://example.org', 'everyone', now())"
    for level in ("info", "warning", "error")
)


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


def test_a_passkey_is_added_renamed_and_signs_in_alone(
    stack: RunningStack, contexts: Contexts, faults: list[str]
) -> None:
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
    page.get_by_role("link", name="Rename My laptop").click()
    page.get_by_role("textbox", name="Name").fill("Work laptop")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("link", name="Remove Work laptop")).to_be_visible()
    context.clear_cookies()
    page.goto(f"{name}/accounts/login/")
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(composer(page)).to_be_visible()
