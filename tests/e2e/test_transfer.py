"""Long code, and chats that leave the page as files and come back, in front of a browser."""

from __future__ import annotations

import json
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.conftest import wait_for
from tests.e2e.conftest import Open
from tests.e2e.steps import ask, reply, say, wait_for_end


def test_K2_long_code_folds_where_it_is_read_again_and_scrolls_sideways_in_itself(open_page: Open) -> None:
    page = open_page()
    code = "\n".join(f"value_{n} = {n}" for n in range(49)) + "\nwide = '" + "long " * 80 + "'"
    ask(page, f"[[rate=400;say]]```python\n{code}\n```\n\n```text\n{code[:200]}\n```\n\nWords after it.")
    pre = page.locator(".code pre").first
    expect(pre).to_be_visible()
    page.evaluate(
        """() => {
          window.heights = [];
          new ResizeObserver(([entry]) => window.heights.push(entry.contentRect.height))
            .observe(document.querySelector(".code pre"));
        }"""
    )
    wait_for_end(page)
    heights = page.evaluate("window.heights")
    assert heights == sorted(heights), "it grows while it is written, and never folds under the reader's eyes"
    fold = reply(page).get_by_role("button", name="Show all 50 lines")
    expect(fold).to_have_count(0)
    whole = pre.evaluate("pre => pre.scrollHeight")
    page.reload()
    expect(fold).to_be_visible()
    assert reply(page).get_by_role("button", name="Show").count() == 1, "short code does not fold"
    assert pre.evaluate("pre => pre.clientHeight") < whole * 0.9
    is_wide = "element => element.scrollWidth > element.clientWidth"
    assert pre.evaluate(is_wide)
    assert not page.locator("[data-scroll]").evaluate(is_wide)
    fold.focus()
    page.keyboard.press("Enter")
    expect(reply(page).get_by_role("button", name="Show fewer lines")).to_be_visible()
    assert pre.evaluate("pre => pre.clientHeight") >= whole * 0.97
    page.keyboard.press("Space")
    expect(fold).to_be_visible()


def test_T1_H2_a_chat_is_exported_from_both_menus_and_imported_from_the_settings(
    open_page: Open, tmp_path: Path
) -> None:
    page = open_page()
    say(page, "A word worth keeping")
    page.get_by_role("button", name="Options of this chat").click()
    page.get_by_role("button", name="Export").click()
    saved = downloaded(page, "JSON", tmp_path)
    assert json.loads(saved.read_text())["messages"][1]["text"] == "A word worth keeping"
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    chats = page.get_by_role("navigation", name="Chats")
    chats.get_by_role("link", name="A word worth keeping").hover()
    chats.get_by_role("button", name="Chat options").click()
    chats.get_by_role("link", name="Export").click()
    assert "A word worth keeping" in downloaded(page, "Markdown", tmp_path).read_text()
    with page.expect_popup() as popup:
        page.get_by_role("dialog").get_by_role("link", name="Print").click()
    expect(popup.value.get_by_role("button", name="Print / save as PDF")).to_be_visible()
    expect(popup.value.locator("article[data-role=assistant]")).to_contain_text("A word worth keeping")
    popup.value.close()
    page.goto("/settings/")
    page.get_by_role("link", name="Export").click()
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download all chats").click()
    everything = tmp_path / "everything.zip"
    waiting.value.save_as(everything)
    page.goto("/settings/")
    page.get_by_role("link", name="Import").click()
    elsewhere = tmp_path / "conversations.json"
    elsewhere.write_text(json.dumps([FROM_CHATGPT]))
    imported = "1 chat was imported."
    for path, words in ((everything, imported), (elsewhere, imported), (Path(__file__), "This is no JSON")):
        page.get_by_label("File", exact=True).set_input_files(path)
        page.get_by_role("button", name="Import").click()
        newest = page.locator("import-list section").first
        expect(newest.get_by_role("heading")).to_have_text(path.name)
        expect(newest).to_contain_text(words, timeout=20_000)
    page.goto("/")
    wait_for(lambda: chats.get_by_role("link", name="A word worth keeping").count() == 2)
    page.get_by_role("searchbox", name="Search chats").fill("written elsewhere")
    found = page.get_by_role("dialog", name="Search and commands").get_by_role("option").first
    expect(found).to_contain_text("From ChatGPT")


FROM_CHATGPT = {
    "title": "From ChatGPT",
    "create_time": 1_700_000_000,
    "mapping": {
        "root": {"id": "root", "parent": None, "message": None},
        "q": {
            "id": "q",
            "parent": "root",
            "message": {
                "author": {"role": "user"},
                "create_time": 1_700_000_001,
                "content": {"content_type": "text", "parts": ["This was written elsewhere."]},
            },
        },
    },
}


def downloaded(page: Page, name: str, folder: Path) -> Path:
    with page.expect_download() as waiting:
        page.get_by_role("dialog").get_by_role("link", name=name).click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path
