"""The whole way once, with nothing scripted: the set-up link, a real question, a real Qwen, a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.conftest import PASSWORD
from tests.e2e.steps import answer, ask, composer, reply
from tests.stack import RunningStack, running_stack

QUESTION = "What is the capital of France? Answer in one short sentence."


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory, default_model_dir: Path) -> Iterator[RunningStack]:
    directory = tmp_path_factory.mktemp("real")
    for part in (directory, *directory.parents[:2]):
        part.chmod(0o755)  # Postgres runs as another user where the tests are root's
    real = {"QWENWEB_ENGINE": "", "QWENWEB_MODEL": str(default_model_dir), "QWENWEB_MAX_TOKENS": "60"}
    with running_stack(directory / "data", **real) as stack:
        yield stack


@pytest.mark.model
def test_a_new_administrator_asks_a_real_qwen_and_watches_it_answer(stack: RunningStack, browser: Browser) -> None:
    page = browser.new_context(base_url=stack.url).new_page()
    become_administrator(page, stack)
    frames: list[str] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: frames.append(str(frame))))
    page.goto("/")

    composer(page).wait_for()
    measured = read_meter(page)
    asked = ask(page, QUESTION)
    expect(answer(asked)).to_contain_text("Paris", timeout=120_000)
    expect(reply(page)).to_have_attribute("data-status", "completed", timeout=120_000)

    assert len([frame for frame in frames if '"reply.blocks"' in frame]) > 2
    shown = answer(reply(page)).inner_text()
    page.reload()
    assert answer(reply(page)).inner_text() == shown
    ((status, model, num_tokens, text, prompt_tokens),) = stack.run(STORED)
    assert measured == prompt_tokens
    assert (status, bool(model), num_tokens > 2) == ("completed", True, True)
    assert "Paris" in text
    page.context.close()


STORED = """
from chat.models import Generation
result = [
    (made.status, made.model, made.completion_tokens, made.message.text, made.prompt_tokens)
    for made in Generation.objects.select_related("message")
]
"""


def read_meter(page: Page) -> int:
    """How many tokens the page says the model will read."""
    expect(page.locator("#model-notice .notice")).to_have_count(0, timeout=120_000)
    composer(page).fill(QUESTION)
    meter = page.locator("context-meter")
    expect(meter).to_contain_text("of 32,768 tokens")
    return int(meter.inner_text().split()[0])


def become_administrator(page: Page, stack: RunningStack) -> None:
    (link,) = [word for word in stack.output.split() if "/setup/" in word]
    page.goto(link)
    page.get_by_role("textbox", name="Name").fill("Ada")
    page.get_by_role("textbox", name="E-mail").fill("ada@example.org")
    page.get_by_label("Password").first.fill(PASSWORD)
    page.get_by_role("button", name="Create administrator").click()
    page.wait_for_url(f"{stack.url}/")
