"""A real browser in front of the real stack with the scripted engine; each test is a new person."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.stack import SIGNED_IN, RunningStack, running_stack

NUM_PEOPLE = 160
BROWSERS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

Open = Callable[..., Page]


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    directory = tmp_path_factory.mktemp("stack")
    for part in (directory, *directory.parents[:2]):
        part.chmod(0o755)  # Postgres runs as another user where the tests are root's
    short = {"QWENWEB_HEARTBEAT_S": "0.5", "QWENWEB_LEASE_S": "2", "QWENWEB_SCRIPT": "tokens=20;rate=60;adapters=poet"}
    short["QWENWEB_PUBLIC_LINKS"] = "true"
    with running_stack(directory / "data", **short) as stack:
        yield stack


@pytest.fixture(scope="package")
def session_keys(stack: RunningStack) -> Iterator[str]:
    return iter(stack.people(NUM_PEOPLE))


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    # Package scope: Playwright's loop must be gone before asynchronous tests of other packages run.
    path = os.environ.get("QWENWEB_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("There is no Chromium or Chrome on this machine, so the browser tests are skipped.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def contexts(browser: Browser, stack: RunningStack) -> Iterator[Callable[..., BrowserContext]]:
    """Makes browsers with nothing in them, signed in when given a session key."""
    made: list[BrowserContext] = []

    def make(session_key: str = "", **options: Any) -> BrowserContext:
        # The service worker has a test of its own; the others would pay for it with each browser.
        context = browser.new_context(base_url=stack.url, **{"service_workers": "block", **options})
        context.set_default_timeout(10_000)
        if session_key:
            context.add_cookies([{"name": "session", "value": session_key, "url": stack.url, "httpOnly": True}])
        made.append(context)
        return context

    yield make
    for context in made:
        context.close()


@pytest.fixture
def session_key(session_keys: Iterator[str]) -> str:
    return next(session_keys)


@pytest.fixture
def faults() -> Iterator[list[str]]:
    """What the browser complained about; the test fails when it is not empty in the end."""
    found: list[str] = []
    yield found
    assert not found


@pytest.fixture
def open_page(contexts: Callable[..., BrowserContext], session_key: str, faults: list[str]) -> Open:
    """Opens a page of this test's person in a browser of its own."""

    def open_(path: str = "/", **options: Any) -> Page:
        page = contexts(session_key, **options).new_page()
        watch(page, faults)
        page.goto(path)
        return page

    return open_


@pytest.fixture
def page(open_page: Open) -> Page:
    return open_page()


@pytest.fixture
def admin(stack: RunningStack, contexts: Callable[..., BrowserContext], faults: list[str]) -> Iterator[Page]:
    """Is one for the time of a test: the link that makes the first administrator is another test's."""
    role = "User.objects.filter(email='person900@example.org').update(is_superuser={0}, is_staff={0})"
    page = contexts(stack.run(f"{SIGNED_IN}\nresult = signed_in(900)\n{role.format(True)}")).new_page()
    watch(page, faults)
    yield page
    stack.run(f"from chat.models import User\n{role.format(False)}")


def watch(page: Page, faults: list[str]) -> None:
    """Note script errors and what the content security policy stopped; a lost network is no fault of the page."""

    def note(message: ConsoleMessage) -> None:
        is_network = "Failed to load resource" in message.text or "WebSocket" in message.text
        if message.type == "error" and not is_network:
            faults.append(message.text)

    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", note)
