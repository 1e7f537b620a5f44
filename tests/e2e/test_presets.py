"""What a message begins with: prompts behind a slash, models and presets behind an at sign."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from .conftest import Open
from .steps import composer, wait_for_end

LETTER = "Write to {{who}},\nplease, about {{topic:the weather}}."


def menu(page: Page, name: str) -> Locator:
    return page.get_by_role("listbox", name=name)


def active(page: Page) -> Locator:
    """The option that a screen reader tells of."""
    return page.locator(f"#{composer(page).get_attribute('aria-activedescendant')}")


def keep_prompt(page: Page, title: str, text: str) -> None:
    page.goto("/settings/prompts/")
    page.get_by_role("link", name="New prompt").click()
    page.get_by_role("textbox", name="Title").fill(title)
    page.get_by_role("textbox", name="Text").fill(text)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text(title)).to_be_visible()


def test_C8_a_slash_opens_prompts_and_their_gaps_are_asked_for(page: Page) -> None:
    keep_prompt(page, "Letter", LETTER)
    keep_prompt(page, "Proofread", "Proofread this:\n\n")
    page.goto("/")
    prompts, text = menu(page, "Prompts"), composer(page)

    text.press_sequentially("and/or")
    expect(prompts).to_be_hidden()
    text.fill("")
    text.press_sequentially("/")
    expect(prompts.get_by_role("option")).to_have_text(
        [re.compile("Letter"), re.compile("Proofread"), "Manage prompts…"]
    )
    expect(active(page)).to_contain_text("Letter")
    text.press("ArrowDown")
    expect(active(page)).to_contain_text("Proofread")
    text.press("Escape")
    expect(prompts).to_be_hidden()
    expect(text).to_have_value("/")
    text.press_sequentially("x")
    expect(prompts).to_be_hidden()

    text.fill("")
    text.press_sequentially("/proo")
    expect(prompts.get_by_role("option")).to_have_count(1)
    text.press("Tab")
    expect(text).to_have_value("Proofread this:\n\n")
    expect(text).to_be_focused()

    text.fill("")
    text.press_sequentially("/lett")
    expect(prompts.get_by_role("option")).to_have_count(1)
    text.press("Enter")
    dialog = page.get_by_role("dialog", name="Letter")
    expect(dialog.get_by_role("textbox", name="who")).to_be_focused()
    expect(dialog.get_by_role("textbox", name="topic")).to_have_value("the weather")
    page.keyboard.type("Ada <b>")
    dialog.get_by_role("button", name="Insert").press("Enter")
    expect(dialog).to_be_hidden()
    expect(text).to_have_value("Write to Ada <b>,\nplease, about the weather.")
    expect(text).to_be_focused()
    expect(page.locator("article")).to_have_count(0)


def test_C8_no_menu_opens_during_an_ime_composition(page: Page) -> None:
    models, text = menu(page, "Models and presets"), composer(page)
    ime = page.context.new_cdp_session(page)
    ime.send("Input.imeSetComposition", {"text": "@", "selectionStart": 1, "selectionEnd": 1})
    expect(text).to_have_value("@")
    expect(models).to_be_hidden()
    ime.send("Input.insertText", {"text": "@"})
    expect(models).to_be_visible()
    ime.send("Input.imeSetComposition", {"text": "n", "selectionStart": 1, "selectionEnd": 1})
    text.dispatch_event("keydown", {"key": "Enter", "bubbles": True, "cancelable": True, "isComposing": True})
    expect(text).to_have_value("@n")
    expect(page.get_by_role("combobox", name="Model", exact=True)).to_have_value("")


def test_C8_an_at_sign_opens_models_and_presets_and_the_chat_keeps_the_choice(open_page: Open) -> None:
    page = open_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    models, text = menu(page, "Models and presets"), composer(page)
    choice = page.get_by_role("combobox", name="Model", exact=True)
    thinking = page.get_by_role("button", name="Thinking")
    expect(thinking).to_be_visible()

    text.press_sequentially("ada@cod")
    expect(models).to_be_hidden()
    text.fill("")
    page.set_viewport_size({"width": 390, "height": 500})
    text.press_sequentially("@")
    expect(active(page)).to_have_text("scripted")
    expect(active(page)).to_be_in_viewport(ratio=1)
    text.fill("")
    text.press_sequentially("Hello @trans")
    expect(models.get_by_role("option")).to_have_text([re.compile("Translation")])
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    models.get_by_role("option").tap()
    expect(models).to_be_hidden()
    expect(text).to_have_value("Hello ")
    expect(choice.locator("option:checked")).to_have_text(re.compile("Translation"))
    expect(thinking).to_be_hidden()

    page.get_by_role("button", name="Send").tap()
    wait_for_end(page)
    page.reload()
    expect(choice.locator("option:checked")).to_have_text(re.compile("Translation"))
    expect(thinking).to_be_hidden()
    page.get_by_role("button", name="More").last.tap()
    page.get_by_role("link", name="Details").last.tap()
    details = page.get_by_role("dialog")
    expect(details).to_contain_text("Translation")
    expect(details).to_contain_text("temperature 0.3")
    details.get_by_role("button", name="Close").tap()
    text.press_sequentially("@scri")
    text.press("Tab")
    expect(thinking).to_be_visible()
    text.fill("[[tokens=3]] And now?")
    page.get_by_role("button", name="Send").tap()
    wait_for_end(page)
    page.goto("/")
    expect(choice).to_have_value("")
