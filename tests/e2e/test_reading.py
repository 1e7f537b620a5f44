"""Reading in comfort: code, tables, long conversations, settings, phones, other directions, without a mouse."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect

from tests.conftest import wait_for
from tests.long_chat import long_chat
from tests.stack import RunningStack

from .conftest import Open
from .steps import answer, ask, composer, distance_to_end, reply, say, send, top_of, wait_for_end


def clipboard(page: Page) -> str:
    return str(page.evaluate("navigator.clipboard.readText()"))


def test_K1_code_is_copied_without_prompts_downloaded_and_wrapped(open_page: Open, tmp_path: Path) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    long = "x = '" + "long " * 80 + "'\n" + "y = 1\n" * 60
    article = say(page, f"```console\n$ ls -a\n.. file\n$ pwd\n```\n\n```python\n{long}```")
    session, code = article.locator(".code").first, article.locator(".code").last
    session.get_by_role("button", name="Copy").click()
    expect(page.locator("[data-announcer]")).to_have_text("Copied")
    assert clipboard(page) == "ls -a\n.. file\npwd"
    with page.expect_download() as waiting:
        code.get_by_role("button", name="Download").click()
    assert waiting.value.suggested_filename == "code.py"
    waiting.value.save_as(tmp_path / "code.py")
    assert (tmp_path / "code.py").read_text() == long
    is_wide = "pre => pre.scrollWidth > pre.clientWidth"
    assert code.locator("pre").evaluate(is_wide)
    code.get_by_role("button", name="Wrap").focus()
    page.keyboard.press("Enter")
    assert not code.locator("pre").evaluate(is_wide)
    page.reload()
    assert not code.locator("pre").evaluate(is_wide)
    # However far down the block, its header stays in sight.
    view = page.locator("[data-scroll]")
    code.evaluate("code => code.scrollIntoView({ block: 'end' })")
    header, frame = code.locator(".code__header").bounding_box(), view.bounding_box()
    assert header and frame and abs(header["y"] - frame["y"]) < 2
    parts = code.locator(".code__header").locator(".code__language, button, wrap-button")
    assert parts.all_inner_texts() == ["Python", "Copy", "Download", "Wrap"]
    places = parts.evaluate_all("parts => parts.map((part) => part.getBoundingClientRect().x)")
    assert places == sorted(places)
    assert places[0] < header["x"] + 20
    assert places[1] > header["x"] + header["width"] / 2, "the language is on the left, the buttons are on the right"


def test_K1_a_block_that_is_finished_is_never_drawn_again(page: Page) -> None:
    ask(page, "[[rate=60;say]]```python\nx = 1\ny = 2\n```\n\n" + "Words after it. " * 20)
    block = page.locator(".code").first
    expect(block.locator(".code-number").first).to_be_visible()
    block.evaluate("block => (window.block = block, window.code = block.querySelector('code'))")
    wait_for_end(page)
    assert block.evaluate("block => block === window.block && block.querySelector('code') === window.code")


def test_K3_a_table_is_copied_as_csv_and_as_markdown(open_page: Open) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    table = '| a | b, c | d |\n| --- | ---: | :---: |\n| **1** `x` | say "hi" | x\\|y |'
    article = say(page, table)
    article.get_by_role("button", name="Copy as CSV").click()
    wait_for(lambda: clipboard(page) == 'a,"b, c",d\n1 x,"say ""hi""",x|y')
    article.get_by_role("button", name="Copy as Markdown").click()
    wait_for(lambda: clipboard(page) == table)
    say(page, "| " + " | ".join(f"column {i}" for i in range(30)) + " |\n|" + "---|" * 30)
    is_wide = "element => element.scrollWidth > element.clientWidth"
    assert reply(page).locator(".table-scroll").evaluate(is_wide)
    assert not page.locator("[data-scroll]").evaluate(is_wide)


def test_R3_what_was_sent_goes_to_the_top_and_the_answer_fills_the_room_below(page: Page) -> None:
    say(page, "A paragraph.\n\n" * 60)
    ask(page, "[[tokens=60;rate=40]] Second")

    def gap() -> float:
        script = (
            "bubble => bubble.getBoundingClientRect().top - bubble.closest('[data-scroll]').getBoundingClientRect().top"
        )
        return float(page.locator("article[data-role=user]").last.evaluate(script))

    assert 0 <= gap() <= 60
    expect(answer(reply(page))).not_to_be_empty()
    assert 0 <= gap() <= 60
    wait_for_end(page)
    assert 0 <= gap() <= 60
    assert distance_to_end(page) <= 3


def test_R4_thinking_that_is_read_does_not_close_under_the_readers_eyes(page: Page) -> None:
    say(page, "A paragraph.\n\n" * 60)
    ask(page, "[[reasoning=300;rate=150;tokens=40]]")
    expect(page.locator("details").last).to_have_attribute("open", "")
    page.locator("[data-scroll]").evaluate("view => view.scrollBy(0, -300)")
    wait_for(lambda: distance_to_end(page) > 100)
    top = top_of(page)
    wait_for_end(page)
    expect(page.locator("details").last).to_have_attribute("open", "")
    assert top_of(page) == top


def test_R4_earlier_messages_come_without_moving_the_line_being_read(
    page: Page, stack: RunningStack, session_key: str
) -> None:
    address, eleventh = long_chat(stack, session_key, 130)
    page.goto(address)
    articles = page.locator("article")
    expect(articles).to_have_count(40)
    assert distance_to_end(page) <= 3
    page.wait_for_timeout(100)
    expect(articles).to_have_count(40)  # nothing is fetched before it is wanted
    view = page.locator("[data-scroll]")
    first = articles.first
    known = first.get_attribute("id")
    where = f"document.getElementById('{known}').getBoundingClientRect().top"
    view.evaluate("view => view.scrollTo(0, 300)")
    before = page.evaluate(where)
    wait_for(lambda: articles.count() > 40)
    page.wait_for_timeout(100)
    assert abs(page.evaluate(where) - before) <= 1
    view.evaluate("view => view.scrollTo(0, 0)")
    wait_for(lambda: articles.count() == 120)
    view.evaluate("view => view.scrollTo(0, 0)")
    wait_for(lambda: articles.count() == 130)
    expect(page.locator("earlier-turns")).to_have_count(0)
    assert page.locator(".message__bubble").all_inner_texts() == [f"Question {i}" for i in range(0, 130, 2)]
    page.goto("/")
    page.goto(f"{address}#m-{eleventh}")
    expect(page.locator(f"#m-{eleventh}")).to_be_in_viewport()
    composer(page).fill("One more")
    composer(page).press("Enter")
    wait_for_end(page)
    send(page, "And one")
    wait_for_end(page)


def test_C2_T1_settings_are_saved_at_once_and_say_so(open_page: Open) -> None:
    page = open_page(viewport={"width": 390, "height": 844})
    page.get_by_role("button", name="Open sidebar").click()
    account = page.get_by_role("button", name="Account")
    account.click()
    page.get_by_role("link", name="Settings").click()
    dialog = page.get_by_role("dialog", name="Settings")
    expect(dialog).to_be_visible()
    parts = ["General", "Chat", "Data", "Security", "Usage"]
    assert dialog.get_by_role("heading", level=3).all_inner_texts() == parts
    for part, names in {
        "Data": ["Export", "Import", "Shared links", "Delete all chats"],
        "Security": ["Change password", "Second factor"],
        "Usage": ["What you used"],
    }.items():
        for name in names:
            expect(dialog.get_by_role("region", name=part).get_by_role("link", name=name)).to_be_visible()
    expect(dialog.get_by_role("heading", name="Where you are signed in")).to_be_visible()
    saved = dialog.get_by_role("status")
    for name in ("Send with Ctrl+Enter", "Keyboard shortcuts", "Wrap long lines"):
        dialog.get_by_role("switch", name=name).click()
        expect(saved).to_have_text("Saved")
        saved.evaluate("place => (place.textContent = '')")
    dialog.get_by_role("button", name="Dark").click()
    expect(saved).to_have_text("Saved")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    # With the setting, Enter is a new line and Ctrl+Enter sends.
    page.set_viewport_size({"width": 1200, "height": 844})
    composer(page).press_sequentially("one")
    composer(page).press("Enter")
    expect(composer(page)).to_have_value("one\n")
    composer(page).press("Control+Enter")
    wait_for_end(page)
    page.keyboard.press("Control+Shift+S")
    expect(page.get_by_role("navigation", name="Chats")).to_be_visible()
    account.click()
    page.get_by_role("link", name="Settings").click()
    dialog.get_by_role("switch", name="Keyboard shortcuts").click()
    dialog.get_by_role("button", name="Close").click()
    page.keyboard.press("Control+Shift+S")
    expect(page.get_by_role("navigation", name="Chats")).to_be_hidden()


def test_S7_a_reply_that_ends_while_nobody_looks_marks_the_tab(open_page: Open) -> None:
    page = open_page(permissions=["notifications"])
    page.get_by_role("button", name="Account").click()
    page.get_by_role("link", name="Settings").click()
    page.get_by_role("switch", name="Notify me").click()
    expect(page.get_by_role("status").filter(has_text="Saved")).to_be_visible()
    page.keyboard.press("Escape")
    note = "window.Notification = class { static permission = 'granted'; constructor(...a) { window.note = a; } }"
    page.evaluate(f"() => {{ {note} }}")
    ask(page, "[[tokens=20;rate=60]] Look away")
    look = "hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });"
    look += "document.dispatchEvent(new Event('visibilitychange')); }"
    page.evaluate(look, arg=True)
    wait_for_end(page)
    wait_for(lambda: page.title().startswith("● "))
    assert page.evaluate("window.note[1].body") == "Reply finished"
    icon = page.locator("link[rel=icon]")
    assert "badge" in str(icon.get_attribute("href"))
    page.evaluate(look, arg=False)
    assert not page.title().startswith("●")
    assert "badge" not in str(icon.get_attribute("href"))


# What a finger can miss: everything to press that is in sight and not within a line of text.
SMALL = """() => [...document.querySelectorAll("button, a[href], summary, input, select, wrap-button")]
  .filter((each) => each.checkVisibility({ visibilityProperty: true }) && !each.closest("p"))
  .map((each) => [each.outerHTML.slice(0, 120), each.getBoundingClientRect()])
  .filter(([, box]) => box.height < 43.5 || box.width < 24)
  .map(([html]) => html)"""


def swipe(page: Page, start: int, end: int) -> None:
    """A finger along the last line that was written."""
    line = page.locator("[data-part=answer] p").last.bounding_box()
    assert line
    session = page.context.new_cdp_session(page)
    for kind, x in (("touchStart", start), ("touchMove", (start + end) // 2), ("touchMove", end), ("touchEnd", None)):
        points = [] if x is None else [{"x": x, "y": line["y"] + line["height"] / 2}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def test_L3_a_phone_in_arabic_is_the_mirror_image_with_targets_for_fingers(open_page: Open) -> None:
    page = open_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, locale="ar")
    assert page.evaluate("document.documentElement.dir") == "rtl"
    composer = page.locator("textarea")
    assert composer.evaluate("area => parseFloat(getComputedStyle(area).fontSize)") >= 16
    composer.fill("[[rate=0;say]]```python\n" + "long " * 99 + "\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nمرحبا")
    page.locator("[data-send]").tap()
    wait_for_end(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    sidebar, bubble = page.locator("chat-sidebar"), page.locator(".message__bubble").bounding_box()
    assert bubble
    assert bubble["x"] < 20  # what people write is at the end of the line, and that is on the left
    expect(sidebar).to_be_hidden()
    swipe(page, 330, 130)
    expect(sidebar).to_be_visible()
    wait_for(lambda: (box := sidebar.bounding_box()) and abs(box["x"] + box["width"] - 390) <= 1)
    page.locator("[popovertarget=account]").tap()
    assert page.evaluate(SMALL) == []
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.locator(".menu__item[href='/settings/']").tap()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert page.evaluate(SMALL) == []
    page.locator("[data-close]").tap()
    swipe(page, 130, 330)
    expect(sidebar).to_be_hidden()


def test_S6_what_cannot_be_fetched_is_said_and_a_lost_session_leads_to_sign_in(page: Page, faults: list[str]) -> None:
    say(page, "Fine.")
    chats = page.get_by_role("navigation", name="Chats")
    page.route("**/title/", lambda route: route.fulfill(status=500, body="<p data-words>Broken</p>"))
    chats.get_by_role("link").hover()
    chats.get_by_role("button", name="Chat options").click()
    chats.get_by_text("Rename").click()
    expect(page.get_by_role("alert").filter(visible=True)).to_have_text("Broken")
    faults.clear()  # htmx notes the error in the console
    page.unroute("**/title/")
    page.context.clear_cookies()
    chats.get_by_role("link").hover()
    chats.get_by_role("button", name="Chat options").click()
    chats.get_by_text("Rename").click()
    expect(page.get_by_text("You were signed out.")).to_be_visible()
    faults.clear()
