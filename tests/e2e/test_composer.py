from __future__ import annotations

import re

from playwright.sync_api import Page, Route, expect

from tests.stack import RunningStack

from .conftest import Open
from .steps import composer, reply, send, wait_for_end

# The keyboard of a phone comes up and covers what is below.
KEYBOARD = """() => {
    Object.defineProperty(visualViewport, "height", { get: () => 400 });
    visualViewport.dispatchEvent(new Event("resize"));
}"""


def users_messages(page: Page) -> list[str]:
    return page.locator("article[data-role=user]").all_inner_texts()


def test_C1_the_composer_has_the_focus_and_takes_what_is_typed_anywhere(page: Page) -> None:
    expect(composer(page)).to_be_focused()
    page.locator("body").click(position={"x": 700, "y": 700})
    expect(composer(page)).not_to_be_focused()
    page.keyboard.type("hello")
    expect(composer(page)).to_have_value("hello")
    page.keyboard.press("Enter")
    wait_for_end(page)
    expect(composer(page)).to_be_focused()


def test_C2_enter_sends_and_shift_enter_does_not(page: Page) -> None:
    composer(page).press_sequentially("one")
    composer(page).press("Shift+Enter")
    composer(page).press_sequentially("two")
    expect(composer(page)).to_have_value("one\ntwo")
    composer(page).press("Enter")
    wait_for_end(page)
    assert users_messages(page) == ["one\ntwo"]


def test_C2_enter_that_ends_an_ime_composition_does_not_send(page: Page) -> None:
    composer(page).fill("にほんご")
    for composing in ({"isComposing": True}, {"keyCode": 229}):
        composer(page).dispatch_event("keydown", {"key": "Enter", "bubbles": True, "cancelable": True, **composing})
    expect(composer(page)).to_have_value("にほんご")
    expect(page.locator("article")).to_have_count(0)


def test_C1_C2_E1_on_touch_nothing_takes_the_focus_and_enter_is_a_new_line(open_page: Open) -> None:
    page = open_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    expect(composer(page)).not_to_be_focused()
    page.get_by_role("list", name="Suggestions").get_by_role("link").first.tap()
    assert composer(page).input_value()
    expect(page.locator("article")).to_have_count(0)
    composer(page).fill("")
    composer(page).tap()
    composer(page).press_sequentially("one")
    composer(page).press("Enter")
    expect(composer(page)).to_have_value("one\n")
    page.get_by_role("button", name="Send").tap()
    wait_for_end(page)
    expect(composer(page)).not_to_be_focused()
    # Smaller letters would make a phone zoom in on the field that gets the focus.
    letters = "fields => fields.map((each) => parseFloat(getComputedStyle(each).fontSize))"
    assert min(page.locator("input, select, textarea").evaluate_all(letters)) >= 16
    page.evaluate(KEYBOARD)
    field = page.locator("form.composer").bounding_box()
    assert field and field["y"] + field["height"] <= 400


def test_C3_the_composer_grows_to_eight_lines_and_blank_text_cannot_be_sent(page: Page) -> None:
    def height() -> float:
        return float(composer(page).evaluate("area => area.clientHeight"))

    def line() -> float:
        return float(composer(page).evaluate("area => parseFloat(getComputedStyle(area).lineHeight)"))

    one = height()
    composer(page).fill("\n".join("abc"))
    assert height() - one == 2 * line()
    composer(page).fill("\n".join("abcdefghijklmnop"))
    assert 7 * line() <= height() - one + 1 <= 8 * line()
    assert composer(page).evaluate("area => area.scrollHeight > area.clientHeight + 1")
    composer(page).fill(" \n ")
    expect(page.get_by_role("button", name="Send")).to_be_disabled()
    composer(page).press("Enter")
    expect(page.locator("article")).to_have_count(0)


def test_C4_a_draft_survives_reload_and_switching_chats(page: Page) -> None:
    composer(page).fill("for a new chat")
    page.reload()
    expect(composer(page)).to_have_value("for a new chat")
    send(page, "A conversation")
    wait_for_end(page)
    composer(page).fill("for this one")
    page.get_by_role("button", name="New chat").click()
    expect(composer(page)).to_have_value("")
    composer(page).fill("another")
    page.get_by_role("link", name="A conversation").click()
    expect(composer(page)).to_have_value("for this one")


def test_C4_a_draft_survives_an_expired_login(page: Page, stack: RunningStack) -> None:
    page.context.clear_cookies(name="session")
    send(page, "written for nothing?")
    expect(page).to_have_url(re.compile("/accounts/login/"))
    page.context.add_cookies([{"name": "session", "value": stack.people(1)[0], "url": stack.url}])
    page.goto("/")
    expect(composer(page)).to_have_value("")  # somebody else's draft is not shown


def test_C4_the_same_person_finds_the_draft_again(page: Page, stack: RunningStack, session_key: str) -> None:
    page.context.clear_cookies(name="session")
    send(page, "written for nothing?")
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    page.context.add_cookies([{"name": "session", "value": session_key, "url": stack.url}])
    page.goto("/")
    expect(composer(page)).to_have_value("written for nothing?")


def test_C4_what_is_typed_into_the_form_of_a_prompt_survives_a_lost_network_and_an_expired_login(
    page: Page, stack: RunningStack, session_key: str
) -> None:
    page.goto("/settings/prompts/new/")
    page.get_by_role("textbox", name="Title").fill("Long work")
    text = page.get_by_role("textbox", name="Text")
    text.fill("Hours of thought")
    save = page.get_by_role("button", name="Save")
    page.context.set_offline(True)
    save.click()
    expect(page.get_by_role("alert").filter(has_text="did not reach the server")).to_be_visible()
    page.context.set_offline(False)
    page.context.clear_cookies(name="session")
    save.click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    page.context.add_cookies([{"name": "session", "value": session_key, "url": stack.url}])
    page.evaluate("location.assign('/settings/prompts/new/')")
    expect(text).to_have_value("Hours of thought")
    save.click()
    expect(page.get_by_text("Long work")).to_be_visible()
    page.get_by_role("link", name="New prompt").click()
    expect(text).to_have_value("")


def test_C7_send_becomes_stop_and_what_is_sent_meanwhile_is_queued_and_kept(page: Page) -> None:
    place = page.get_by_role("button", name="Send").bounding_box()
    send(page, "[[tokens=2000;rate=50]]")
    stop = page.get_by_role("button", name="Stop")
    expect(stop).to_be_visible()
    expect(page.get_by_role("button", name="Send")).to_be_hidden()
    assert stop.bounding_box()["x"] == place["x"]  # type: ignore[index]
    send(page, "and another thing")
    send(page, "not this")
    expect(composer(page)).to_have_value("")
    page.reload()
    queued = page.get_by_role("list", name="Sent next").get_by_role("listitem")
    expect(queued).to_have_count(2)
    lowest, field = queued.last.bounding_box(), page.locator("form.composer").bounding_box()
    assert lowest and field and lowest["y"] + lowest["height"] <= field["y"]
    queued.last.get_by_role("button", name="Delete").click()
    expect(queued).to_have_text(re.compile("and another thing"))
    queued.get_by_role("button", name="Edit").click()
    expect(queued).to_have_count(0)
    expect(composer(page)).to_have_value("and another thing")
    composer(page).press("Enter")
    send(page, "[[tokens=2000;rate=50]] at once")
    expect(queued).to_have_count(2)
    queued.last.get_by_role("button", name="Send now").click()
    expect(page.locator(".message__bubble").last).to_contain_text("at once")
    expect(queued).to_have_text(re.compile("and another thing"))
    stop.click()
    expect(page.locator(".message__bubble").last).to_have_text("and another thing")
    stopped = page.locator("article[data-role=assistant]").first
    expect(stopped).to_have_attribute("data-status", "stopped")
    expect(stopped.get_by_text("Stopped", exact=True)).to_be_visible()
    wait_for_end(page)
    expect(queued).to_have_count(0)
    send_button = page.get_by_role("button", name="Send")
    composer(page).fill("more")
    expect(send_button).to_be_enabled()


def test_S1_the_message_is_shown_before_the_server_has_it(page: Page) -> None:
    held: list[Route] = []
    page.route("**/c/", lambda route: held.append(route))
    send(page, "At once")
    expect(page.locator(".message__bubble")).to_have_text("At once")
    expect(composer(page)).to_have_value("")
    assert held
    held[0].continue_()
    wait_for_end(page)
    assert users_messages(page) == ["At once"]


def test_S1_what_was_not_sent_stays_and_a_retry_makes_no_second_message(page: Page) -> None:
    def lose_the_answer(route: Route) -> None:
        route.fetch()
        route.abort()

    page.route("**/c/", lose_the_answer)
    send(page, "Once only")
    expect(page.get_by_text("Not sent")).to_be_visible()
    page.reload()
    expect(page.get_by_text("Not sent")).to_be_visible()
    expect(page.locator(".message__bubble")).to_have_text("Once only")
    page.unroute("**/c/")
    page.get_by_role("button", name="Retry").click()
    wait_for_end(page)
    page.reload()
    assert users_messages(page) == ["Once only"]
    expect(page.get_by_text("Not sent")).to_have_count(0)
    expect(page.get_by_role("navigation", name="Chats").get_by_role("link")).to_have_count(1)


def test_what_the_server_refuses_comes_back_with_the_reason(page: Page) -> None:
    send(page, "A conversation")
    wait_for_end(page)
    text = "x" * 200_001
    composer(page).evaluate("(area, text) => { area.value = text; area.dispatchEvent(new Event('input')); }", text)
    composer(page).press("Enter")
    expect(page.locator("[data-hint]")).to_contain_text("200,001")
    assert composer(page).input_value() == text
    expect(page.locator("article")).to_have_count(2)
    assert reply(page).get_attribute("data-status") == "completed"
