from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import wait_for
from tests.stack import RunningStack

from .conftest import Open
from .steps import answer, ask, reply, wait_for_end

QUESTION = "[[tokens=250;rate=50]] Tell me."
LONG = "[[tokens=700;rate=60]] Tell me more."


def stop(page: Page) -> str:
    """Stop the reply when some of it is there; what it has."""
    expect(answer(reply(page))).not_to_be_empty()
    page.get_by_role("button", name="Stop").click()
    return answer(wait_for_end(page, "stopped")).inner_text()


def go_on(page: Page) -> None:
    reply(page).get_by_role("button", name="Continue").click()


def watch_text(page: Page) -> None:
    """Note every text that the newest reply shows, as the browser draws it."""
    page.evaluate(
        """() => {
            window.texts = [];
            const element = Array.from(document.querySelectorAll("[data-part=answer]")).at(-1);
            new MutationObserver(() => window.texts.push(element.innerText))
                .observe(element, { childList: true, characterData: true, subtree: true });
        }"""
    )


def test_S5_continue_goes_on_in_the_same_turn(page: Page) -> None:
    ask(page, QUESTION)
    whole = answer(wait_for_end(page)).inner_text()
    page.goto("/")
    ask(page, QUESTION)
    page.evaluate("window.isSameDocument = true")
    before = stop(page)
    watch_text(page)
    go_on(page)
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    expect(page.get_by_role("log")).to_have_attribute("aria-busy", "true")
    expect(reply(page).get_by_text("Stopped")).to_be_hidden()
    wait_for(lambda: len(answer(reply(page)).inner_text()) > len(before))
    assert stop(page).startswith(before)
    go_on(page)
    assert answer(wait_for_end(page)).inner_text() == whole
    assert page.evaluate("window.isSameDocument")
    expect(page.locator("article")).to_have_count(2)
    texts = page.evaluate("window.texts")
    assert texts
    assert all(whole.startswith(text.rstrip()) and text.startswith(before) for text in texts)
    page.reload()
    assert answer(reply(page)).inner_text() == whole
    expect(page.get_by_role("button", name="Continue")).to_have_count(0)


def test_S5_a_second_tab_goes_on_too_and_a_reload_in_the_middle_shows_everything(open_page: Open) -> None:
    desk = open_page()
    ask(desk, LONG)
    expect(answer(reply(desk))).not_to_be_empty()
    phone = open_page(desk.url, viewport={"width": 390, "height": 844})
    before = stop(desk)
    assert answer(wait_for_end(phone, "stopped")).inner_text() == before
    phone.evaluate("window.isSameDocument = true")
    go_on(desk)
    expect(phone.get_by_role("button", name="Stop")).to_be_visible()
    desk.reload()
    assert answer(reply(desk)).inner_text().startswith(before)
    wait_for(lambda: len(answer(reply(phone)).inner_text()) > len(before))
    whole = answer(wait_for_end(desk)).inner_text()
    assert answer(wait_for_end(phone)).inner_text() == whole
    assert whole.startswith(before)
    assert phone.evaluate("window.isSameDocument")


def test_S5_a_reply_stopped_while_it_thinks_goes_on_thinking(page: Page) -> None:
    ask(page, "[[reasoning=160;rate=40;tokens=10]]")
    expect(page.locator("summary")).to_contain_text("Thinking…")
    expect(page.locator("[data-part=reasoning]")).not_to_be_empty()
    page.get_by_role("button", name="Stop").click()
    before = page.locator("[data-part=reasoning]").text_content() or ""
    wait_for_end(page, "stopped")
    go_on(page)
    expect(page.locator("summary")).to_contain_text("Thinking…")
    wait_for_end(page)
    expect(page.locator("summary")).to_contain_text("Thought for")
    assert (page.locator("[data-part=reasoning]").text_content() or "").startswith(before.rstrip())
    expect(answer(reply(page))).not_to_be_empty()


def test_S5_a_code_block_that_was_cut_goes_on_inside(page: Page) -> None:
    code = "\n".join(f"line_{i} = {i}" for i in range(40))
    ask(page, f"[[rate=80;say]]```python\n{code}\n```\n\nDone.")
    wait_for(lambda: "line_2" in answer(reply(page)).inner_text())
    stop(page)
    go_on(page)
    wait_for_end(page)
    assert page.locator("pre code").inner_text() == code + "\n"
    expect(answer(reply(page)).get_by_text("Done.")).to_be_visible()


def test_S5_only_the_last_reply_can_be_continued(page: Page) -> None:
    ask(page, QUESTION)
    stop(page)
    expect(page.get_by_role("button", name="Continue")).to_be_visible()
    ask(page, "[[tokens=3]] And now?")
    wait_for_end(page)
    expect(page.get_by_role("button", name="Continue")).to_be_hidden()


@pytest.mark.parametrize("name", ["Continue", "Regenerate"])
def test_S5_both_work_without_scripts(open_page: Open, name: str) -> None:
    writer = open_page()
    ask(writer, "[[tokens=60;rate=40]]")
    before = stop(writer)
    page = open_page(writer.url, java_script_enabled=False)
    first_id = reply(page).get_attribute("data-message-id")
    with page.expect_navigation():  # a reload in its middle would find no page
        page.get_by_role("button", name=name).click()

    def is_done() -> bool:
        page.reload()
        return reply(page).get_attribute("data-status") == "completed"

    wait_for(is_done)
    assert answer(reply(page)).inner_text().startswith(before)
    assert (reply(page).get_attribute("data-message-id") == first_id) == (name == "Continue")


def test_S5_an_interrupted_reply_offers_continue_beside_retry(stack: RunningStack, page: Page) -> None:
    ask(page, QUESTION)
    expect(answer(reply(page))).not_to_be_empty()
    # Its second worker: one that loses only one goes on by itself.
    stack.sql("UPDATE chat_generation SET num_lost = 1 WHERE status = 'running'")
    stack.kill("inference")
    article = wait_for_end(page, "interrupted")
    before = answer(article).inner_text()
    expect(article.get_by_role("button", name="Retry")).to_be_visible()
    go_on(page)
    assert answer(wait_for_end(page)).inner_text().startswith(before)
    expect(article.get_by_role("button", name="Retry")).to_have_count(0)
