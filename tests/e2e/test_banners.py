"""Banners: the administrator says something to everybody, from when until when, and who has read it sends it away."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.stack import RunningStack

from .conftest import Open
from .steps import composer, say
from .test_accessible import AXE, violations

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def none_is_left(stack: RunningStack) -> Iterator[None]:
    yield
    stack.run("from chat.models import Banner\nBanner.objects.all().delete()")


def set_banner(admin: Page, level: str, text: str, start: timedelta, end: timedelta | None = None) -> None:
    """As the form of the admin wants it; the times count from now."""
    admin.goto("/admin/chat/banner/add/")
    admin.get_by_role("combobox", name="Level").select_option(level)
    admin.get_by_role("textbox", name="Text").fill(text)
    for field, after in (("starts_at", start), ("ends_at", end)):
        if after is not None:
            at = datetime.now(UTC) + after
            admin.locator(f"[name={field}_0]").fill(f"{at:%Y-%m-%d}")
            admin.locator(f"[name={field}_1]").fill(f"{at:%H:%M:%S}")
    admin.get_by_role("button", name="Save", exact=True).click()
    expect(admin.locator(".messagelist .success")).to_be_visible()


def test_T5_A2_a_banner_is_read_dismissed_and_gone_and_an_error_stays(
    admin: Page, open_page: Open, stack: RunningStack
) -> None:
    set_banner(admin, "info", "A picnic on Friday, see https://example.org", -HOUR, HOUR)
    set_banner(admin, "warning", "Updates tonight", -HOUR)
    set_banner(admin, "error", "The disk is full", -HOUR, HOUR)
    set_banner(admin, "warning", "Not begun", HOUR)
    set_banner(admin, "warning", "Long over", -2 * HOUR, -HOUR)
    notices = admin.get_by_role("region", name="Notices")
    expect(notices.locator("p")).to_have_text(
        ["The disk is full", "Updates tonight", "A picnic on Friday, see https://example.org"]
    )
    found: list[str] = []

    page = open_page(reduced_motion="reduce")
    notices = page.get_by_role("region", name="Notices")
    expect(notices.get_by_role("alert")).to_have_text("The disk is full")
    expect(notices.get_by_role("status")).to_have_count(2)
    expect(notices.get_by_role("button", name="Dismiss")).to_have_count(2)
    expect(notices.get_by_role("alert").get_by_role("button")).to_have_count(0)
    expect(page.get_by_text("Not begun").or_(page.get_by_text("Long over"))).to_have_count(0)
    if AXE.exists():
        found += violations(page)
        page.set_viewport_size({"width": 390, "height": 844})
        found += violations(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert notices.get_by_role("button").first.evaluate("button => button.offsetWidth") >= 24
    page.set_viewport_size({"width": 1280, "height": 720})

    # Sent away by keyboard, without a reload that would lose what is being written.
    composer(page).fill("half a sentence")
    notices.get_by_role("status").filter(has_text="Updates").get_by_role("button", name="Dismiss").focus()
    page.keyboard.press("Enter")
    expect(notices.get_by_role("status")).to_have_count(1)
    expect(composer(page)).to_have_value("half a sentence")
    say(page, "Fine.")
    for address in (page.url, "/settings/usage/", "/"):
        page.goto(address)
        expect(notices.locator("p")).to_have_text(["The disk is full", "A picnic on Friday, see https://example.org"])
    assert "\n".join(found) == ""

    # Their ends come while nobody does anything.
    ended = "Banner.objects.filter(starts_at__lt=timezone.now()).update(ends_at=timezone.now())"
    stack.run(f"from chat.models import Banner\nfrom django.utils import timezone\n{ended}")
    page.reload()
    expect(composer(page)).to_be_visible()
    expect(notices).to_have_count(0)
