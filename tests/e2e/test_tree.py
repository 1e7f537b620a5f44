"""What people do with messages that are there: edit, regenerate, switch, vote, delete, branch, look into."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from tests.conftest import wait_for
from tests.stack import RunningStack

from .conftest import Open
from .steps import answer, ask, composer, reply, say, send, wait_for_end

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def question(page: Page, place: int = -1) -> Locator:
    return page.locator("article[data-role=user]").nth(place)


def bubbles(page: Page) -> list[str]:
    return page.locator(".message__bubble").all_inner_texts()


def actions(article: Locator) -> Locator:
    return article.locator("[data-part=actions]")


def names(article: Locator) -> list[str | None]:
    """What the buttons of its toolbar are called."""
    return [button.get_attribute("aria-label") for button in actions(article).locator(".icon-button").all()]


def press(article: Locator, name: str) -> None:
    article.hover()
    article.get_by_role("button", name=name, exact=True).click()


def choose(article: Locator, menu: str, item: str) -> None:
    """Press an item of one of a message's menus."""
    press(article, menu)
    article.locator(".menu:popover-open").get_by_text(item, exact=True).click()


def test_C5_M3_arrow_up_edits_the_last_message_in_place_and_both_versions_stay(page: Page) -> None:
    ask(page, "First question")
    wait_for_end(page)
    area = page.get_by_role("textbox", name="Edit text")
    composer(page).fill("a draft")
    composer(page).press("ArrowUp")
    expect(area).to_have_count(0)
    composer(page).fill("")
    composer(page).press("ArrowUp")
    expect(area).to_be_focused()
    expect(area).to_have_value("First question")
    area.fill("Thrown away")
    page.reload()
    expect(area).to_have_value("Thrown away")
    page.evaluate("window.isSameDocument = true")
    area.press("Escape")
    expect(area).to_have_count(0)
    assert bubbles(page) == ["First question"]
    expect(question(page).get_by_role("button", name="Edit")).to_be_focused()

    press(question(page), "Edit")
    area.fill(" ")
    area.press("Control+Enter")
    expect(page.get_by_role("alert").filter(has_text="Write something first.")).to_be_visible()
    area.fill("Second question\nin two lines")
    area.press("Control+Enter")
    expect(question(page).get_by_role("group", name="Version 2 of 2")).to_contain_text("2/2")
    wait_for_end(page)
    assert bubbles(page) == ["Second question\nin two lines"]
    expect(page.locator("article")).to_have_count(2)
    send(page, "A later question")
    expect(page.locator("article")).to_have_count(4)
    wait_for_end(page)

    press(question(page, 0), "Previous version")
    expect(question(page).get_by_role("group", name="Version 1 of 2")).to_contain_text("1/2")
    expect(question(page).get_by_role("button", name="Previous version")).to_be_disabled()
    assert bubbles(page) == ["First question"]
    assert page.evaluate("window.isSameDocument")
    page.reload()
    assert bubbles(page) == ["First question"]
    next_version = question(page).get_by_role("button", name="Next version")
    next_version.focus()
    next_version.press("Enter")
    expect(page.locator("article")).to_have_count(4)
    assert bubbles(page) == ["Second question\nin two lines", "A later question"]
    expect(question(page, 0).get_by_role("button", name="Previous version")).to_be_focused()


def test_M4_a_reply_is_regenerated_in_its_place_in_several_ways(page: Page) -> None:
    say(page, "Same again", reasoning=4)
    send(page, "A later question")
    expect(page.locator("article")).to_have_count(4)
    wait_for_end(page)
    first = page.locator("article[data-role=assistant]").first
    press(first, "Regenerate")
    expect(page.locator("article")).to_have_count(2)
    expect(reply(page).get_by_role("group", name="Version 2 of 2")).to_be_visible()
    expect(answer(wait_for_end(page))).to_have_text("Same again")
    expect(reply(page).get_by_role("group", name="Version 2 of 2")).to_be_visible()
    expect(page.locator("summary")).to_be_visible()

    choose(reply(page), "Answer differently", "Without thinking")
    expect(reply(page).get_by_role("group", name="Version 3 of 3")).to_be_visible()
    expect(answer(wait_for_end(page))).to_have_text("Same again")
    expect(page.locator("summary")).to_be_hidden()
    choose(reply(page), "Answer differently", "With thinking")
    expect(reply(page).get_by_role("group", name="Version 4 of 4")).to_be_visible()
    expect(answer(wait_for_end(page))).to_have_text("Same again")
    expect(page.locator("summary")).to_be_visible()
    for number, length in ((5, "Shorter"), (6, "Longer")):
        choose(reply(page), "Answer differently", length)
        expect(reply(page).get_by_role("group", name=f"Version {number} of {number}")).to_be_visible()
        expect(answer(wait_for_end(page))).not_to_have_text("Same again")
    choose(reply(page), "Answer differently", "With poet")
    expect(reply(page).get_by_role("group", name="Version 7 of 7")).to_be_visible()
    wait_for_end(page)
    press(reply(page), "Answer differently")
    menu = page.locator(".menu:popover-open")
    expect(menu.get_by_text("With scripted")).to_be_visible()
    expect(menu.get_by_text("With poet")).to_have_count(0)
    page.keyboard.press("Escape")
    for place in (6, 5, 4, 3, 2, 1):
        press(first, "Previous version")
        expect(first.get_by_role("group", name=f"Version {place} of 7")).to_be_visible()
    expect(page.locator("article")).to_have_count(4)
    assert bubbles(page)[-1] == "A later question"

    page.get_by_role("button", name="What the models can do").click()
    abilities = page.locator("#model-abilities dl")
    expect(abilities.filter(has_text="poet")).to_contain_text("adapter of scripted")
    for told in ("online", "thinks", "text only, no images", "reads 32,768 tokens"):
        expect(abilities.first).to_contain_text(told)


def test_M1_M2_the_toolbar_is_shown_when_it_is_wanted_and_copies_questions_too(open_page: Open) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    ask(page, "Two\nlines & <b>")
    wait_for_end(page)
    press(question(page), "Copy")
    expect(page.locator("[data-announcer]")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "Two\nlines & <b>"
    ask(page, "[[tokens=60;rate=30]]")
    expect(answer(reply(page))).not_to_be_empty()
    assert actions(question(page)).evaluate("element => getComputedStyle(element).visibility") == "hidden"
    expect(actions(reply(page)).get_by_role("button")).to_have_count(0)
    wait_for_end(page)

    def opacity(article: Locator) -> str:
        return str(actions(article).evaluate("element => getComputedStyle(element).opacity"))

    assert names(question(page)) == ["Copy", "Edit", "More"]
    first = page.locator("article[data-role=assistant]").first
    composer(page).hover()
    wait_for(lambda: opacity(first) == "0")
    assert [opacity(question(page)), opacity(reply(page))] == ["1", "1"]
    first.hover()
    wait_for(lambda: opacity(first) == "1")
    composer(page).hover()
    first.get_by_role("button", name="Regenerate").focus()
    wait_for(lambda: opacity(first) == "1")
    sharing = "Make a link up to here"
    assert names(first) == ["Copy", "Regenerate", "Answer differently", sharing, "Good reply", "Bad reply", "More"]
    phone = open_page(page.url, **PHONE)
    assert opacity(phone.locator("article").first) == "1"
    phone.evaluate("document.querySelector('.model-choice option:checked').textContent = 'qwen2.5-coder-0.5b-instruct'")
    assert phone.evaluate("document.documentElement.scrollWidth") == 390


def test_M5_M6_a_message_is_deleted_and_brought_back_and_replies_are_judged_and_looked_into(
    page: Page, stack: RunningStack
) -> None:
    say(page, "One")
    say(page, "Two")
    choose(question(page), "More", "Delete")
    expect(page.locator("article")).to_have_count(2)
    expect(page.locator("[data-announcer]")).to_have_text("Message deleted")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("article")).to_have_count(4)
    expect(answer(reply(page))).to_have_text("Two")
    expect(page.get_by_role("button", name="Undo")).to_have_count(0)
    choose(question(page, 0), "More", "Delete")
    expect(page.locator("article")).to_have_count(0)
    expect(page.get_by_role("heading", name="What would you like to know")).to_be_visible()
    expect(page.get_by_role("button", name="Undo")).to_be_visible()

    say(page, "Three")
    judge(page)
    look_into(page)
    find_a_difference(page, stack)
    page.mouse.move(0, 0)  # the offer stays while it is pointed at
    expect(page.get_by_role("button", name="Undo")).to_have_count(0, timeout=10_000)
    branch(page)


def judge(page: Page) -> None:
    up = reply(page).get_by_role("button", name="Good reply")
    down = reply(page).get_by_role("button", name="Bad reply")
    up.click()
    expect(up).to_have_attribute("aria-pressed", "true")
    down.click()
    dialog = page.get_by_role("dialog", name="What was not good?")
    dialog.get_by_label("Not complete").check()
    dialog.get_by_label("Anything else?").fill("Half of it is missing.")
    dialog.get_by_role("button", name="Send").click()
    expect(dialog).to_be_hidden()
    expect(down).to_have_attribute("aria-pressed", "true")
    expect(up).to_have_attribute("aria-pressed", "false")
    down.click()
    expect(down).to_have_attribute("aria-pressed", "false")
    expect(dialog).to_be_hidden()
    down.click()
    dialog.get_by_role("button", name="Skip").click()
    expect(dialog).to_be_hidden()
    expect(down).to_have_attribute("aria-pressed", "true")


def look_into(page: Page) -> None:
    choose(reply(page), "More", "Details")
    dialog = page.get_by_role("dialog", name="How this reply was made")
    expect(dialog).to_contain_text("scripted")
    expect(dialog).to_contain_text("temperature")
    for told in (
        r"Seed\s+\d+",
        r"\d+ read, \d+ of them from the cache; \d+ written, \d+ of them thinking",
        r"\d+ ms waiting, \d+ ms reading, \d+ ms writing",
        r"[\d.]+ tokens/s",
    ):
        expect(dialog).to_contain_text(re.compile(told))
    dialog.get_by_role("button", name="Run again exactly").click()
    expect(dialog).to_be_hidden()
    expect(reply(page).get_by_role("group", name="Version 2 of 2")).to_be_visible()
    wait_for_end(page)
    expect(reply(page)).to_contain_text("Run again: the same text")


def find_a_difference(page: Page, stack: RunningStack) -> None:
    said = reply(page).get_attribute("data-message-id")
    stack.sql(f"UPDATE chat_message SET text = 'Thrice' WHERE id = '{said}'")  # as if the model had said that
    choose(reply(page), "More", "Details")
    page.get_by_role("dialog", name="How this reply was made").get_by_role("button", name="Run again exactly").click()
    expect(reply(page).get_by_role("group", name="Version 3 of 3")).to_be_visible()
    wait_for_end(page)
    expect(reply(page)).to_contain_text("the text differs from character 4 on")
    expect(reply(page).locator(".repeated mark")).to_have_text("ee")


def branch(page: Page) -> None:
    address = page.url
    choose(reply(page), "More", "Branch in new chat")
    expect(page).not_to_have_url(address)
    expect(page).to_have_url(re.compile(r"/c/[0-9a-f-]{36}$"))
    expect(page.locator("article")).to_have_count(2)
    expect(answer(reply(page))).to_have_text("Three")


def test_M6_other_tabs_follow_and_one_that_could_not_begins_a_branch_and_says_so(open_page: Open) -> None:
    desk = open_page()
    say(desk, "One")
    tab = open_page(desk.url)
    choose(reply(desk), "More", "Delete")
    expect(tab.locator("article")).to_have_count(1)
    question(tab).get_by_role("button", name="Regenerate").click()
    expect(answer(wait_for_end(tab))).to_have_text("One")
    expect(desk.locator("article")).to_have_count(2)

    tab.route("**/messages/?*", lambda route: route.abort())  # it hears that there is something new, but can't get it
    say(desk, "Two")
    ask(tab, "From the other tab")
    expect(tab.get_by_role("status").filter(has_text="began another branch")).to_be_visible()
    expect(question(tab).get_by_role("group", name="Version 2 of 2")).to_be_visible()
    wait_for_end(tab)
    press(question(tab), "Previous version")
    expect(answer(reply(tab))).to_have_text("Two")
