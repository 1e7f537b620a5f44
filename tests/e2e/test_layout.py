from __future__ import annotations

import re

import pytest
from playwright.sync_api import FloatRect, Locator, Page, expect

from tests.stack import RunningStack

from .conftest import Open
from .steps import answer, composer, say, send, wait_for_end

PHONE = {"viewport": {"width": 390, "height": 844}}
# One more chat of this person, as it is when it was used last so many days ago.
OLDER = """
    INSERT INTO chat_conversation (id, owner_id, title, has_manual_title, created_at, last_active_at, pinned_at)
    VALUES (gen_random_uuid(), '{owner}', '{title}', false, now(), now() - interval '{days} days', {pinned_at})
"""
ADDRESS = re.compile(r"/c/[0-9a-f-]{36}$")


def box(element: Locator) -> FloatRect:
    found = element.bounding_box()
    assert found
    return found


def test_L1_the_sidebar_collapses_and_stays_so(page: Page) -> None:
    chats = page.get_by_role("navigation", name="Chats")
    expect(chats).to_be_visible()
    sidebar, main = box(page.locator("chat-sidebar")), box(page.locator("main"))
    assert 240 <= sidebar["width"] <= 280
    assert sidebar["x"] + sidebar["width"] == main["x"]
    places = [
        page.get_by_role("button", name="New chat"),
        page.get_by_role("searchbox", name="Search chats"),
        chats,
        page.get_by_role("button", name="Account"),
    ]
    tops = [box(place)["y"] for place in places]
    assert tops == sorted(tops)
    account = box(places[-1])
    assert sidebar["height"] - 20 <= account["y"] + account["height"] <= sidebar["height"]
    page.keyboard.press("Control+Shift+S")
    expect(chats).to_be_hidden()
    page.reload()
    expect(chats).to_be_hidden()
    page.get_by_role("button", name="Open sidebar").click()
    expect(chats).to_be_visible()


def test_L1_a_new_chat_is_on_top_of_the_list_of_today_and_older_ones_stand_in_groups(
    page: Page, stack: RunningStack
) -> None:
    for text in ("First question", "Second question"):
        page.goto("/")
        send(page, text)
        wait_for_end(page)
    chats = page.get_by_role("navigation", name="Chats")
    expect(chats.get_by_role("heading", name="Today")).to_be_visible()
    expect(chats.get_by_role("link")).to_have_text(["Second question", "First question"])
    owner = page.evaluate("document.body.dataset.user")
    for days, title, pinned_at in (
        (1, "A day ago", "NULL"),
        (4, "Four days ago", "NULL"),
        (40, "Long ago", "NULL"),
        (9, "Kept", "now()"),
    ):
        stack.sql(OLDER.format(owner=owner, days=days, title=title, pinned_at=pinned_at))
    page.reload()
    expect(chats.get_by_role("heading")).to_have_text(["Pinned", "Today", "Yesterday", "Previous 7 days", "Older"])
    titles = ["Kept", "Second question", "First question", "A day ago", "Four days ago", "Long ago"]
    expect(chats.get_by_role("link")).to_have_text(titles)


def test_L2_text_is_at_most_768_px_wide_and_people_write_on_the_right(page: Page) -> None:
    article = say(page, "A word. " * 300)
    text, bubble, main = box(article), box(page.locator(".message__bubble")), box(page.locator("main"))
    assert text["width"] <= 768
    assert text["x"] + text["width"] / 2 == pytest.approx(main["x"] + main["width"] / 2, abs=1)
    assert bubble["x"] + bubble["width"] == pytest.approx(text["x"] + text["width"], abs=1)
    assert bubble["x"] > text["x"]
    # A reply has the whole width, and nothing around it.
    assert box(answer(article))["width"] == text["width"]
    backgrounds = "all => all.map((each) => getComputedStyle(each).backgroundColor)"
    around = page.locator(".message__bubble, article[data-role=assistant]").evaluate_all(backgrounds)
    assert around[0] != "rgba(0, 0, 0, 0)" == around[1]


def test_L3_on_a_phone_nothing_scrolls_sideways_and_the_sidebar_is_a_drawer(open_page: Open) -> None:
    page = open_page(**PHONE)
    code = "x = " + "1 + " * 80 + "1"
    table = "| " + " | ".join(f"column {i}" for i in range(12)) + " |"
    line = "|" + "---|" * 12
    say(page, f"```python\n{code}\n```\n\n{table}\n{line}\n{table}\n\n" + "w" * 300 + "\n\n$$" + "a+" * 90 + "b$$")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    header = [
        page.get_by_role("combobox", name="Model", exact=True),
        page.get_by_role("button", name="Share"),
        page.get_by_role("button", name="Options of this chat"),
    ]
    lefts = [box(each)["x"] for each in header]
    assert lefts == sorted(lefts)
    assert lefts[0] < 390 / 2 < lefts[1]
    chats = page.get_by_role("navigation", name="Chats")
    expect(chats).to_be_hidden()
    page.get_by_role("button", name="Open sidebar").click()
    expect(chats).to_be_visible()
    page.keyboard.press("Escape")
    expect(chats).to_be_hidden()
    expect(page.get_by_role("button", name="Open sidebar")).to_be_focused()


def test_L4_the_address_changes_with_the_first_message_and_back_leads_back(page: Page) -> None:
    page.evaluate("window.isSameDocument = true")
    send(page, "Where am I?")
    wait_for_end(page)
    expect(page).to_have_url(ADDRESS)
    assert page.evaluate("window.isSameDocument")
    address = page.url
    page.go_back()
    expect(page.locator("article")).to_have_count(0)
    page.go_forward()
    expect(page.locator("article")).to_have_count(2)
    assert page.url == address
    page.get_by_role("button", name="New chat").click()
    expect(page.locator("article")).to_have_count(0)
    link = page.get_by_role("navigation", name="Chats").get_by_role("link", name="Where am I?")
    assert address.endswith(str(link.get_attribute("href")))
    link.click()
    expect(page).to_have_url(address)
    expect(link).to_have_attribute("aria-current", "page")
    expect(page).to_have_title("Where am I? · qwenweb")
    with page.context.expect_page() as waiting:
        link.click(modifiers=["ControlOrMeta"])
    expect(waiting.value.locator("article")).to_have_count(2)
    assert waiting.value.url == page.url == address


def test_L5_the_chosen_theme_is_there_before_the_first_paint(page: Page) -> None:
    canvas = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(canvas)
    page.get_by_role("button", name="Account").click()
    page.get_by_role("button", name="Dark").click()
    dark = page.evaluate(canvas)
    assert dark != light
    # With every script of the page held back but the early one, the first picture is dark.
    page.route("**/js/app.*", lambda route: route.abort())
    page.reload()
    assert page.evaluate(canvas) == dark
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.evaluate("document.documentElement.dir") == "ltr"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_L5_without_a_choice_the_system_decides(open_page: Open, scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    light, dark = ("rgb(255, 255, 255)", "oklch(1 0 0)"), "oklch(0.205 0.008 285)"
    canvas = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert canvas in light if scheme == "light" else canvas == dark


def test_a_chat_is_renamed(page: Page) -> None:
    send(page, "A dull title")
    wait_for_end(page)
    chats = page.get_by_role("navigation", name="Chats")
    chats.get_by_role("link", name="A dull title").hover()
    chats.get_by_role("button", name="Chat options").click()
    chats.get_by_text("Rename").click()
    dialog = page.get_by_role("dialog")
    title = dialog.get_by_role("textbox", name="Title")
    expect(title).to_be_focused()
    title.fill("   ")
    title.press("Enter")
    expect(dialog.get_by_role("alert")).to_have_text("A title needs at least one character.")
    title.fill("A bright title")
    title.press("Enter")
    expect(dialog).to_be_hidden()
    expect(chats.get_by_role("link")).to_have_text("A bright title")
    expect(page).to_have_title("A bright title · qwenweb")


def test_a_chat_is_deleted_only_after_a_question(page: Page) -> None:
    send(page, "Soon gone")
    wait_for_end(page)
    chats = page.get_by_role("navigation", name="Chats")
    for button in ("Cancel", "Delete"):
        chats.get_by_role("link", name="Soon gone").hover()
        chats.get_by_role("button", name="Chat options").click()
        chats.get_by_text("Delete").click()
        page.get_by_role("dialog").get_by_role("button", name=button).click()
        expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page).to_have_url(re.compile(r"/$"))
    expect(chats.get_by_role("link")).to_have_count(0)
    expect(composer(page)).to_be_focused()
