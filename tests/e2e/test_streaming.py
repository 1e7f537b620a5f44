from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.conftest import wait_for

from .conftest import Open
from .steps import answer, ask, distance_to_end, reply, say, top_of, wait_for_end

SLOW = "[[tokens=4000;rate=40]]"
LISTEN = """() => {
  const region = document.querySelector("[data-announcer]");
  window.said = [];
  const note = () => region.textContent && window.said.push(region.textContent);
  new MutationObserver(note).observe(region, { childList: true });
}"""


def test_S2_before_the_first_word_a_sentence_says_what_happens(page: Page) -> None:
    ask(page, "[[tokens=3;prefill_ms=4000]]")
    line = page.get_by_text(re.compile(r"Reading [\d,]+ tokens"))
    expect(line).to_be_visible()
    wait_for_end(page)
    expect(line).to_be_hidden()
    ask(page, "[[tokens=3;prefill_ms=1500]]" + " a long story" * 400)
    expect(line).to_have_text(re.compile(r"Reading 1,\d\d\d tokens"))
    page.reload()
    expect(line).to_be_visible()
    wait_for_end(page)


# Something small pulses in or below the last block, which is of this kind.
MARK = """(last) => {
    const blocks = document.querySelectorAll("[data-live] .block:last-child");
    const block = blocks[blocks.length - 1];
    if (!block || !block.lastElementChild?.matches(last)) return false;
    const drawn = (each) => getComputedStyle(each, "::after").content === '""';
    return [block, ...block.querySelectorAll("*")].filter(drawn).length === 1;
}"""


def is_marked(page: Page, last: str) -> bool:
    return bool(page.evaluate(MARK, arg=last))


def test_S3_text_grows_and_unfinished_markdown_breaks_nothing(page: Page) -> None:
    code = "\n".join(f"line_{i} = '<b>&amp; ${i}'" for i in range(60))
    text = f"Before\n\n```python\n{code}\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nAfter **bold**"
    ask(page, f"[[rate=80;say]]{text}")
    seen = [wait_for(lambda: answer(reply(page)).inner_text())]
    for _ in range(3):
        seen.append(wait_for(lambda: (now := answer(reply(page)).inner_text()) != seen[-1] and now))
    wait_for(lambda: is_marked(page, ".code"))
    live = page.locator("pre code").inner_text()
    assert code.startswith(live.rstrip("\n")[:-1])
    expect(page.get_by_role("textbox", name="Message")).to_be_visible()
    wait_for_end(page)
    assert page.locator("pre code").inner_text() == code + "\n"
    expect(page.locator("strong")).to_have_text("bold")
    assert not is_marked(page, "p")
    ask(page, "[[rate=8;say]]Some words and no more.\n\n- one **bold** thing\n- another\n  - a third **here** now")
    wait_for(lambda: is_marked(page, "p"))
    wait_for(lambda: is_marked(page, "ul"))


def test_S4_thinking_is_open_while_it_lasts_and_then_says_how_long_it_took(page: Page) -> None:
    ask(page, "[[reasoning=120;rate=30;tokens=40]]")
    details = page.locator("details")
    expect(details).to_have_attribute("open", "")
    expect(details.locator("summary")).to_have_text("Thinking… 1 s")
    expect(details.locator("summary")).to_have_text("Thinking… 2 s")
    expect(details.locator("summary")).to_contain_text("Thought for")
    expect(details).not_to_have_attribute("open", "")
    wait_for_end(page)
    page.reload()
    expect(details.locator("summary")).to_contain_text("Thought for 4 s")
    expect(details).not_to_have_attribute("open", "")


def test_S4_what_the_reader_opened_or_closed_stays_so(page: Page) -> None:
    details = page.locator("details").last
    for clicks in (1, 2):
        ask(page, "[[reasoning=60;rate=40;tokens=40]]")
        expect(details).to_have_attribute("open", "")
        for _ in range(clicks):
            details.locator("summary").click()
        is_open = details.evaluate("details => details.open")
        assert is_open == (clicks == 2)
        wait_for_end(page)
        assert details.evaluate("details => details.open") == is_open


def press_stop(page: Page) -> None:
    page.get_by_role("button", name="Stop").click()


def press_escape(page: Page) -> None:
    page.keyboard.press("Escape")


def test_S5_stop_and_escape_end_the_reply_and_keep_its_text(page: Page) -> None:
    for stop in (press_stop, press_escape):
        ask(page, SLOW)
        expect(answer(reply(page))).not_to_be_empty()
        stop(page)
        article = wait_for_end(page, "stopped")
        expect(article.get_by_text("Stopped")).to_be_visible()
        for name in ("Regenerate", "Continue"):
            expect(article.get_by_role("button", name=name, exact=True)).to_be_visible()
        text = answer(article).inner_text()
        assert text
        page.reload()
        assert answer(reply(page)).inner_text() == text


def test_S6_a_reload_in_mid_reply_shows_all_that_was_there_and_goes_on(page: Page) -> None:
    thinking = page.get_by_role("button", name="Thinking")
    model = page.get_by_role("combobox", name="Model", exact=True)
    thinking.click()
    model.select_option("poet")
    ask(page, "[[tokens=400;rate=60]]")
    before = wait_for(lambda: len(text := answer(reply(page)).inner_text()) > 200 and text)
    page.reload()
    expect(answer(reply(page))).not_to_be_empty()
    assert answer(reply(page)).inner_text().startswith(before.rstrip())
    expect(model).to_have_value("poet")
    expect(thinking).to_have_attribute("aria-pressed", "false")
    wait_for(lambda: len(answer(reply(page)).inner_text()) > len(before))
    live = answer(wait_for_end(page)).inner_text()
    page.reload()
    assert answer(reply(page)).inner_text() == live


def test_S6_two_devices_show_the_same(open_page: Open) -> None:
    desk = open_page()
    ask(desk, "[[tokens=150;rate=60]] first")
    expect(answer(reply(desk))).not_to_be_empty()
    phone = open_page(desk.url, viewport={"width": 390, "height": 844})
    assert answer(wait_for_end(phone)).inner_text() == answer(wait_for_end(desk)).inner_text()
    ask(phone, "[[tokens=150;rate=60]] second")
    expect(desk.locator("article")).to_have_count(4)
    expect(desk.get_by_role("button", name="Stop")).to_be_visible()
    assert answer(wait_for_end(phone)).inner_text() == answer(wait_for_end(desk)).inner_text()


def test_S6_offline_says_so_and_goes_on_when_the_network_is_back(page: Page) -> None:
    ask(page, "[[tokens=200;rate=50]]")
    expect(answer(reply(page))).not_to_be_empty()
    page.context.set_offline(True)
    banner = page.get_by_text("Reconnecting")
    expect(banner).to_be_visible()
    page.context.set_offline(False)
    expect(banner).to_be_hidden()
    live = answer(wait_for_end(page)).inner_text()
    page.reload()
    assert answer(reply(page)).inner_text() == live


def test_S8_a_failure_is_told_in_its_turn_with_a_retry_and_an_id(page: Page) -> None:
    ask(page, "[[tokens=30;rate=60;fail_at=12]]")
    article = wait_for_end(page, "failed")
    failed_id = article.get_attribute("data-message-id")
    expect(article.get_by_text("The model failed while making this reply.")).to_be_visible()
    expect(article.get_by_text("Request ")).to_be_visible()
    expect(answer(article)).not_to_be_empty()
    article.get_by_role("button", name="Retry").click()
    expect(reply(page)).not_to_have_attribute("data-message-id", str(failed_id))
    wait_for_end(page, "failed")
    expect(page.locator("article")).to_have_count(2)


def by_wheel(page: Page) -> None:
    page.locator("[data-scroll]").hover()
    page.mouse.wheel(0, -40)


def by_key(page: Page) -> None:
    page.locator("[data-scroll]").focus()
    page.keyboard.press("ArrowUp")


def by_finger(page: Page) -> None:
    session = page.context.new_cdp_session(page)
    for kind, y in (
        ("touchStart", 300),
        ("touchMove", 330),
        ("touchMove", 360),
        ("touchMove", 390),
        ("touchEnd", None),
    ):
        points = [] if y is None else [{"x": 700, "y": y}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def by_scrollbar(page: Page) -> None:
    page.locator("[data-scroll]").evaluate("view => view.scrollBy(0, -10)")


def wait_for_text(page: Page, more: int) -> None:
    length = len(answer(reply(page)).inner_text())
    wait_for(lambda: len(answer(reply(page)).inner_text()) > length + more)


def wait_for_following(page: Page) -> None:
    before = top_of(page)
    wait_for(lambda: top_of(page) > before + 20)


def resting_top(page: Page) -> float:
    """How far the view is scrolled once it has stopped; it may move smoothly."""
    tops = [-1.0]
    while tops.count(tops[-1]) < 3:
        page.wait_for_timeout(100)
        tops.append(top_of(page))
        assert len(tops) < 60, "The view moves on and on."
    return tops[-1]


def test_R1_R2_the_view_follows_until_the_reader_scrolls_up_in_whatever_manner(page: Page) -> None:
    say(page, "A paragraph.\n\n" * 60)
    ask(page, "[[tokens=8000;rate=150]]")
    wait_for_following(page)
    view = page.locator("[data-scroll]")
    view.evaluate("view => view.scrollBy(0, -2)")
    wait_for_following(page)
    jump = page.get_by_role("button", name="Jump to latest")
    for number, scroll_up in enumerate((by_wheel, by_key, by_finger, by_scrollbar)):
        scroll_up(page)
        top = resting_top(page)
        wait_for_text(page, 400)
        assert top_of(page) == top, scroll_up.__name__
        assert distance_to_end(page) > 3
        if number % 2:
            view.evaluate("view => view.scrollTo(0, view.scrollHeight)")
        else:
            jump.click()
        wait_for_following(page)


def test_R2_R3_jump_to_latest_comes_and_goes_and_moves_at_once_where_motion_is_unwelcome(page: Page) -> None:
    say(page, "A paragraph.\n\n" * 60)
    jump = page.get_by_role("button", name="Jump to latest")
    expect(jump).to_be_hidden()
    view = page.locator("[data-scroll]")
    view.evaluate("view => view.scrollBy(0, -150)")
    page.wait_for_timeout(100)
    expect(jump).to_be_hidden()
    view.evaluate("view => view.scrollBy(0, -150)")
    expect(jump).to_be_visible()
    view.evaluate("view => view.scrollBy(0, 150)")
    page.wait_for_timeout(100)
    expect(jump).to_be_visible()
    jump.click()
    expect(jump).to_be_hidden()
    wait_for(lambda: distance_to_end(page) <= 3)
    page.reload()
    assert distance_to_end(page) <= 3
    view.evaluate("view => view.scrollTo(0, 0)")
    page.emulate_media(reduced_motion="reduce")
    jump.click()
    assert distance_to_end(page) <= 3


def test_a_selection_in_the_reply_survives_its_end(page: Page) -> None:
    ask(page, "[[rate=60;say]]Select this first paragraph, please.\n\n" + "More words follow after it. " * 20)
    expect(answer(reply(page)).locator("p")).to_have_count(2)
    page.evaluate("getSelection().selectAllChildren(document.querySelector('[data-part=answer] p'))")
    wait_for_end(page)
    assert page.evaluate("String(getSelection()).trim()") == "Select this first paragraph, please."


def test_A1_the_conversation_is_a_log_that_is_busy_while_a_reply_is_written(page: Page) -> None:
    log = page.get_by_role("log", name="Conversation")
    announced = page.locator("[data-announcer]")
    page.evaluate(LISTEN)
    ask(page, "[[tokens=40;rate=40]]")
    expect(log).to_have_attribute("aria-busy", "true")
    expect(announced).to_have_text("Answering")
    wait_for_end(page)
    expect(log).to_have_attribute("aria-busy", "false")
    expect(announced).to_have_text("Reply finished")
    # One announcement at the start and one at the end; the words between are not read out.
    assert page.evaluate("window.said") == ["Answering", "Reply finished"]
    expect(announced).to_have_attribute("aria-live", "polite")
    expect(log).to_have_attribute("aria-live", "off")
