"""Mermaid in front of a browser: drawn when the reply is over, never before."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, expect

from qwenweb.up.install import draws_diagrams

from .conftest import Open
from .steps import ask, distance_to_end, reply, wait_for_end

STEPS = " --> ".join(f"S{n}[Step number {n}]" for n in range(12))
HOSTILE = '  click S1 href "javascript:alert(1)"\n  S1 --> X["<img src=https://evil.example/a.png onerror=alert(1)>"]\n'
FLOW = f"flowchart LR\n  {STEPS}\n  style S2 fill:url(https://evil.example/a.svg)\n{HOSTILE}"
BROKEN = "flowchart LR\n  A -- no end\n"
TEXT = f"Before it.\n\n```mermaid\n{FLOW}```\n\n```python\nx = 1\n```\n\n```mermaid\n{BROKEN}```\n\nAfter it. "


def is_drawn(image: Locator) -> bool:
    return bool(image.evaluate("image => image.decode().then(() => image.naturalWidth === image.width)"))


@pytest.mark.skipif(not draws_diagrams(), reason="The renderer of diagrams is not built for this machine.")
def test_K2_mermaid_is_a_diagram_when_the_reply_is_over_and_source_by_choice_or_need(open_page: Open) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    ask(page, f"[[rate=150;say]]{TEXT}" + "Words. " * 40)
    block, other = reply(page).locator(".code").first, reply(page).locator(".code").nth(1)
    expect(block).to_contain_text("Step number 11")
    expect(block.locator("pre")).to_be_visible()
    expect(page.get_by_role("radio")).to_have_count(0)
    expect(other).to_be_visible()
    other.evaluate("other => (window.other = other)")
    wait_for_end(page)
    image = block.get_by_role("img")
    assert image.get_attribute("alt") == FLOW.strip()
    assert is_drawn(image)
    expect(block.locator("pre")).to_be_hidden()
    assert other.evaluate("other => other === window.other"), "only the blocks that became diagrams were drawn again"
    assert distance_to_end(page) <= 3
    # The switch, by keyboard
    diagram, source = block.get_by_role("radio", name="Diagram"), block.get_by_role("radio", name="Source")
    expect(diagram).to_be_checked()
    diagram.focus()
    page.keyboard.press("ArrowRight")
    expect(source).to_be_checked()
    expect(image).to_be_hidden()
    expect(block.locator("pre")).to_have_text(FLOW)
    block.get_by_role("button", name="Copy").click()
    expect(page.locator("[data-announcer]")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == FLOW.strip()
    block.get_by_text("Diagram", exact=True).click()
    expect(image).to_be_visible()
    # What can't be drawn
    broken = reply(page).locator(".code").last
    expect(broken).to_contain_text("can’t be drawn")
    expect(broken.locator("pre")).to_have_text(BROKEN)
    assert broken.get_by_role("radio").count() == broken.get_by_role("img").count() == 0
    # A phone, the dark, another direction
    page.set_viewport_size({"width": 390, "height": 800})
    is_wide = "element => element.scrollWidth > element.clientWidth"
    assert block.locator(".diagram").evaluate(is_wide)
    assert not page.locator("[data-scroll]").evaluate(is_wide)
    light = image.screenshot()
    page.emulate_media(color_scheme="dark")
    assert image.screenshot() != light
    page.evaluate("document.documentElement.dir = 'rtl'")
    assert block.locator(".diagram").evaluate("box => (box.scrollTo(-50, 0), box.scrollLeft)") == 0
    assert is_drawn(image)
    assert not [url for url in asked if "evil" in url]
    # Without script
    plain = open_page(page.url, java_script_enabled=False)
    block = plain.locator(".code").first
    expect(block.get_by_role("img")).to_be_visible()
    block.get_by_text("Source", exact=True).click()
    expect(block.get_by_role("img")).to_be_hidden()
    expect(block.locator("pre")).to_be_visible()
