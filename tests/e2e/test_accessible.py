"""The page for people who do not see it or do not use a mouse."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import PASSWORD
from tests.stack import ROOT, RunningStack

from .conftest import Open
from .steps import answer, composer, reply, say, wait_for_end

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
MARK = """() => {
  const all = "button:enabled, a[href], summary, input, select, textarea, [tabindex='0']";
  const isThere = (each) => each.checkVisibility({ visibilityProperty: true }) && each.tabIndex >= 0;
  const left = new Set([...document.querySelectorAll(all)].filter(isThere));
  window.unseen = [];
  window.reached = (element) => {
    // A field has a caret, and its form another edge.
    const isSeen = getComputedStyle(element).outlineStyle === "solid" || element.matches("textarea, [type=search]");
    if (left.delete(element) && !isSeen) window.unseen.push(element.outerHTML.slice(0, 120));
  };
  window.unreached = () => [...left].map((each) => each.outerHTML.slice(0, 120));
}"""
FIND = "(rules) => axe.run({ resultTypes: ['violations'], ...rules }).then((found) => found.violations)"
# The dark theme has other colours and nothing else.
RULES: dict[str, dict[str, Any]] = {"light": {}, "dark": {"runOnly": ["color-contrast", "link-in-text-block"]}}
# Colours change in transitions, which begin with a frame; a slow machine draws few of those.
# Inherited colours change step by step, each in a transition of its own, however short: until none is left.
SHOW = """async theme => {
    document.documentElement.dataset.theme = theme;
    const drawn = () => new Promise(requestAnimationFrame);
    const goesOn = (animation) =>
        animation.playState === "running" && animation.effect.getComputedTiming().endTime < Infinity;
    do await drawn().then(drawn); while (document.getAnimations().some(goesOn));
}"""
# What is easily missed: all there is to press that is in sight and not within a line of text; with a box, its label.
SMALL = """(least) => [...document.querySelectorAll("button, a[href], summary, input, select, wrap-button")]
  .filter((each) => each.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && !each.closest("p"))
  .map((each) => [each.outerHTML.slice(0, 120), (each.closest("label") ?? each).getBoundingClientRect()])
  .filter(([, box]) => box.height < least - 0.5 || box.width < 24)
  .map(([html]) => html)"""
RICH = """# Title

A [link](https://example.org), `code` and $x^2$.

```python
def f(x: int) -> str:  # a comment
    return "text" + str(x)
```

```mermaid
graph LR
  A --> B
```

| a | b |
| --- | --- |
| 1 | 2 |

> quote

- [ ] task
"""


def overflow(page: Page) -> list[str]:
    """How far a narrow page scrolls sideways, which it must not; nothing when it does not."""
    assert page.viewport_size
    width = page.evaluate("document.documentElement.scrollWidth") - page.viewport_size["width"]
    return [f"{page.url} is {width} px too wide"] if width > 0 else []


def small(page: Page, least: int) -> list[str]:
    """What there is to press that is less high than `least` px or narrower than 24."""
    return [f"{page.url} is small: {html}" for html in page.evaluate(SMALL, arg=least)]


def violations(page: Page) -> list[str]:
    """What axe finds on the page in both themes, one line each."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text())
    found: list[str] = []
    for theme, rules in RULES.items():
        page.evaluate(SHOW, arg=theme)
        results: list[dict[str, Any]] = page.evaluate(FIND, arg=rules)
        found += [
            f"{page.url} {theme} {each['impact']} {each['id']} {node['html'][:200]} {node['failureSummary']}"
            for each in results
            if each["impact"] in {"serious", "critical"}
            for node in each["nodes"]
        ]
    return found


@pytest.mark.skipif(not AXE.exists(), reason="There is no axe-core: `sh .ci/packages` fetches it.")
def test_A2_axe_finds_nothing_serious_on_any_page(open_page: Open) -> None:
    page = open_page(reduced_motion="reduce")
    found = violations(page)
    say(page, RICH, reasoning=5)
    found += violations(page)
    found += small(page, 24)
    # 200 % of 1280 px
    page.set_viewport_size({"width": 640, "height": 422})
    found += overflow(page)
    for name in ("Send", "Thinking", "Share", "Options of this chat", "Open sidebar"):
        expect(page.get_by_role("button", name=name, exact=True)).to_be_in_viewport(ratio=1)
    expect(composer(page)).to_be_in_viewport(ratio=1)
    page.set_viewport_size({"width": 1280, "height": 844})
    page.get_by_role("button", name="Share", exact=True).click()
    dialog = page.get_by_role("dialog", name="Share chat")
    dialog.get_by_role("radio", name="Anyone with the link").check()
    found += violations(page)
    dialog.get_by_role("button", name="Create link").click()
    shared = dialog.get_by_role("textbox", name="Link").input_value()
    dialog.get_by_role("button", name="Close").click()
    composer(page).press_sequentially("@")
    expect(page.get_by_role("listbox", name="Models and presets")).to_be_visible()
    found += violations(page)
    page.get_by_role("button", name="Account").click()
    found += violations(page)
    page.get_by_role("link", name="Settings").click()
    expect(page.get_by_role("dialog", name="Settings")).to_be_visible()
    found += violations(page)
    page.close()
    page = open_page(reduced_motion="reduce", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page.get_by_role("button", name="Open sidebar").click()
    found += violations(page)
    for address in (
        shared,
        "/nothing",
        "/settings/",
        "/settings/export/",
        "/settings/import/",
        "/settings/deletion/",
        "/settings/links/",
        "/settings/usage/",
        "/settings/presets/",
        "/settings/presets/new/",
        "/settings/prompts/",
        "/settings/prompts/new/",
        "/archive/",
        "/manage/",
        "/folders/",
        "/search/?q=Title",
        "/accounts/factor/",
        "/accounts/password/change/",
        "/accounts/logout/",
    ):
        page.goto(address)
        found += overflow(page) + small(page, 44) + violations(page)
    page.context.clear_cookies()
    for address in ("/accounts/login/?ended", "/accounts/password/reset/", "/accounts/signup/"):
        page.goto(address)
        found += overflow(page) + small(page, 44) + violations(page)
    assert "\n".join(found) == ""


def test_B2_from_sign_in_to_stop_by_keyboard_alone(open_page: Open, stack: RunningStack) -> None:
    page = open_page()
    user = page.evaluate("document.body.dataset.user")
    email = stack.run(
        f"from chat.models import User; user = User.objects.get(id={user!r})\n"
        f"user.set_password({PASSWORD!r}); user.save(); result = user.email"
    )
    page.context.clear_cookies()
    page.goto("/")
    keyboard = page.keyboard
    expect(page.get_by_role("textbox", name="E-mail")).to_be_focused()
    keyboard.type(email)
    keyboard.press("Tab")
    keyboard.type(PASSWORD)
    keyboard.press("Enter")
    expect(composer(page)).to_be_focused()
    keyboard.type("[[tokens=4000;rate=40]]")
    keyboard.press("Enter")
    expect(answer(reply(page))).not_to_be_empty()
    keyboard.press("Tab")
    expect(page.get_by_role("button", name="Stop")).to_be_focused()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    keyboard.press("Enter")
    wait_for_end(page, "stopped")
    # A dialog keeps the focus, and gives it back to what opened it.
    account = page.get_by_role("button", name="Account")
    account.focus()
    keyboard.press("Enter")
    settings = page.get_by_role("link", name="Settings")
    for _ in range(12):
        if settings.evaluate("link => link === document.activeElement"):
            break
        keyboard.press("Tab")
    keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Settings")
    expect(dialog).to_be_visible()
    for _ in range(25):
        keyboard.press("Tab")
        assert page.evaluate("!document.activeElement.closest('.page > :not(page-dialog)')")
    keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(account).to_be_focused()
    # Whatever there is to press is reached by Tab, and shows that it has the focus.
    page.evaluate(MARK)
    for _ in range(60):
        keyboard.press("Tab")
        page.evaluate("() => window.reached(document.activeElement)")
    assert page.evaluate("window.unreached()") == []
    assert page.evaluate("window.unseen") == []
