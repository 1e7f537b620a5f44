"""Two models side by side."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

from tests.conftest import wait_for

from .conftest import Open
from .steps import answer, composer, send

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def sides(page: Page) -> Locator:
    return page.locator(".comparison__side")


def wait_for_both(page: Page, status: str = "completed") -> None:
    replies = page.locator(".comparison article")
    for place in (0, 1):
        expect(replies.nth(place)).to_have_attribute("data-status", status, timeout=20_000)


def compare(page: Page, text: str) -> None:
    page.get_by_role("combobox", name="Compare with").select_option("poet")
    send(page, text)
    expect(sides(page)).to_have_count(2)


def test_two_models_answer_side_by_side_and_the_better_one_is_gone_on_from(open_page: Open) -> None:
    page = open_page()
    compare(page, "[[tokens=150;rate=50]]")
    expect(page.get_by_role("combobox", name="Compare with")).to_have_value("")
    for side, model in zip(sides(page).all(), ("scripted", "poet"), strict=True):
        expect(side.get_by_text(model, exact=True)).to_be_visible()
        expect(answer(side)).not_to_be_empty()
    assert page.locator("reply-stream").count() == 2, "both at the same time"
    expect(page.get_by_role("button", name="Prefer this")).to_have_count(0)
    lefts = [side.bounding_box()["x"] for side in sides(page).all()]  # type: ignore[index]
    assert lefts[0] < lefts[1]
    wait_for_both(page)
    texts = [answer(side).inner_text() for side in sides(page).all()]
    assert texts[0] != texts[1]
    tab = open_page(page.url, **PHONE)
    assert [answer(side).inner_text() for side in sides(tab).all()] == texts
    tops = [side.bounding_box()["y"] for side in sides(tab).all()]  # type: ignore[index]
    assert tops[0] < tops[1]
    assert tab.evaluate("document.documentElement.scrollWidth") == 390

    sides(page).last.get_by_role("button", name="Prefer this").click()
    expect(page.get_by_role("group", name="Version 2 of 2")).to_be_visible()
    expect(answer(page.locator("article").last)).to_have_text(texts[1])
    expect(sides(page)).to_have_count(0)
    expect(page.get_by_role("button", name="Good reply")).to_have_attribute("aria-pressed", "true")
    expect(sides(tab)).to_have_count(0)


def test_both_are_stopped_at_once_and_going_on_leaves_the_first(page: Page) -> None:
    compare(page, "[[tokens=4000;rate=50]]")
    for side in sides(page).all():
        expect(answer(side)).not_to_be_empty()
    page.get_by_role("button", name="Stop").click()
    wait_for_both(page, "stopped")
    kept = answer(sides(page).first).inner_text()
    sides(page).last.get_by_role("button", name="Continue").click()
    expect(page.locator("reply-stream")).to_have_count(1)
    expect(sides(page)).to_have_count(2)
    page.keyboard.press("Escape")
    wait_for_both(page, "stopped")

    send(page, "Go on")
    expect(page.locator("article")).to_have_count(4)
    expect(sides(page)).to_have_count(0)
    first = page.locator("article[data-role=assistant]").first
    assert answer(first).inner_text() == kept
    expect(first.get_by_role("group", name="Version 1 of 2")).to_be_visible()
    expect(composer(page)).to_be_focused()
    wait_for(lambda: page.locator("reply-stream").count() == 0)
