from __future__ import annotations

from playwright.sync_api import Page, expect

from .conftest import Open
from .steps import answer, ask, reply, say, wait_for_end

SOURCE = "A **bold** word, `code` and a list:\n\n1. one\n2. two\n\n```sh\necho '<hi>' && ls\n```"


def clipboard(page: Page) -> str:
    return str(page.evaluate("navigator.clipboard.readText()"))


def test_M2_copy_gives_the_markdown_without_the_thinking(open_page: Open) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    article = say(page, SOURCE, reasoning=5)
    button = article.locator("[data-part=actions]").get_by_role("button", name="Copy")
    button.click()
    expect(page.locator("[data-announcer]")).to_have_text("Copied")
    assert clipboard(page) == SOURCE
    expect(button.locator(".icon--done")).to_be_visible()
    expect(button.locator(".icon--done")).to_be_hidden()
    page.reload()
    button.click()
    assert clipboard(page) == SOURCE


def test_K1_a_code_block_names_its_language_and_copies_its_exact_text(open_page: Open) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    code = "def f(a: int) -> str:\n    # <b>&amp;\n\n    return f'{a}\\t'"
    article = say(page, f"```python\n{code}\n```")
    expect(article.locator(".code__language")).to_have_text("Python")
    article.locator(".code").get_by_role("button", name="Copy").click()
    expect(page.locator("[data-announcer]")).to_have_text("Copied")
    assert clipboard(page) == code


def test_K3_formulas_are_drawn_and_prices_are_not(page: Page) -> None:
    article = say(
        page, "From $5 to $6, $5 and $6, but $e^{i\\pi}$ and \\(a_1\\) and\n\n$$\\frac{1}{2}$$\n\n\\[ x^2 \\]"
    )
    expect(article.locator("math")).to_have_count(4)
    expect(article).to_contain_text("From $5 to $6, $5 and $6, but")


def test_K4_links_open_elsewhere_and_nothing_foreign_runs_or_loads(page: Page, faults: list[str]) -> None:
    foreign: list[str] = []
    page.on("request", lambda request: foreign.append(request.url) if "evil.example" in request.url else None)
    article = say(
        page,
        "[good](https://example.org/) [bad](javascript:alert(1)) <img src=https://evil.example/1 onerror=alert(1)> "
        "![picture](https://evil.example/2.png) <script>alert(1)</script>",
    )
    link = article.get_by_role("link", name="good")
    expect(link).to_have_attribute("target", "_blank")
    assert set(str(link.get_attribute("rel")).split()) == {"noopener", "noreferrer", "nofollow"}
    assert article.locator("[href^='javascript'], script, img").count() == 0
    # A picture from elsewhere is a link: whoever follows it wants it.
    expect(article.get_by_role("link", name="picture")).to_have_attribute("href", "https://evil.example/2.png")
    page.reload()
    assert foreign == []
    assert faults == []


def test_what_a_person_writes_is_shown_as_written(page: Page) -> None:
    text = "<b>not bold</b> & **stars**\n  indented"
    ask(page, text)
    wait_for_end(page)
    page.reload()
    assert page.locator(".message__bubble").text_content() == text


def test_without_scripts_people_send_and_read_after_a_reload(open_page: Open) -> None:
    page = open_page(java_script_enabled=False)
    page.get_by_role("textbox", name="Message").fill("[[say]]Plain **old** web")
    page.get_by_role("button", name="Send").click()
    for _ in range(50):
        if reply(page).get_attribute("data-status") == "completed":
            break
        page.wait_for_timeout(100)
        page.reload()
    expect(answer(reply(page)).locator("strong")).to_have_text("old")
    page.get_by_role("textbox", name="Message").fill(" ")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("Write something first.")).to_be_visible()


def test_a_regenerated_reply_takes_the_place_of_the_stopped_one(page: Page) -> None:
    ask(page, "[[tokens=400;rate=100]]")
    expect(answer(reply(page))).not_to_be_empty()
    page.get_by_role("button", name="Stop").click()
    wait_for_end(page, "stopped").get_by_role("button", name="Regenerate").click()
    wait_for_end(page)
    expect(page.locator("article")).to_have_count(2)
    page.reload()
    expect(page.locator("article")).to_have_count(2)
    expect(reply(page)).to_have_attribute("data-status", "completed")
