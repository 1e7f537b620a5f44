"""What the page costs: its weight, when it is there, a long chat, a reply that is drawn, the lists of the sidebar.

The whole stack runs with the scripted engine; a real Chromium looks at it, as in the end-to-end tests.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from bench import search
from bench.markdown import SECTION
from tests.e2e.conftest import BROWSERS, FLAGS
from tests.e2e.steps import composer
from tests.long_chat import long_chat
from tests.stack import RunningStack, running_stack

NUM_MESSAGES = 2000
REPLY = "".join(SECTION.format(n=n) for n in range(20))[:12_000]
TOKENS_PER_S = 60
LONGEST_REPLY_S = 300

OBSERVE = """
window.seen = { lcp: 0, cls: 0 };
new PerformanceObserver((list) => list.getEntries().forEach((entry) => (seen.lcp = entry.startTime)))
  .observe({ type: "largest-contentful-paint", buffered: true });
new PerformanceObserver((list) => list.getEntries().forEach((entry) => (seen.cls += entry.value)))
  .observe({ type: "layout-shift", buffered: true });
"""
WEIGHT = """ending => performance.getEntriesByType("resource")
  .filter((entry) => new URL(entry.name).pathname.endsWith(ending))
  .reduce((sum, entry) => sum + entry.encodedBodySize, 0)"""
# A block is finished when another has begun after it; nothing in it may change from then on.
WATCH = """() => {
  window.replaced = 0;
  const finished = new WeakSet();
  const blocks = "[data-part=answer] > .block";
  new MutationObserver((records) => {
    for (const { target } of records) {
      const block = (target instanceof Element ? target : target.parentElement)?.closest(blocks);
      if (block && finished.has(block)) window.replaced += 1;
    }
    document.querySelectorAll(`${blocks}:has(+ .block)`).forEach((block) => finished.add(block));
  }).observe(document.querySelector("[role=log]"), { childList: true, characterData: true, subtree: true });
}"""
QUERIES = """
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
client = Client(headers={{"host": "127.0.0.1"}})
client.cookies[settings.SESSION_COOKIE_NAME] = {session!r}
with CaptureQueriesContext(connection) as queries:
    assert client.get({address!r}).status_code == 200
result = len(queries)
"""


def main() -> None:
    """Measure, print a table and a last line of JSON."""
    browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser_path is None:
        sys.exit("There is no Chromium or Chrome on this machine to look at the page with.")
    with tempfile.TemporaryDirectory(prefix="qwenweb-bench-") as directory:
        Path(directory).chmod(0o755)  # Postgres runs as another user where this is root
        with running_stack(Path(directory) / "var") as stack, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=browser_path, args=FLAGS)
            figures = measure(stack, browser)
            browser.close()
    for name, value in _flat(figures):
        print(f"{name:<28}{value}")
    print(json.dumps({"bench": "page", **figures}))


def measure(stack: RunningStack, browser: Browser) -> dict[str, Any]:
    session, with_many_chats = stack.people(2)
    address, _ = long_chat(stack, session, NUM_MESSAGES)
    figures = first_visit(stack, browser, session)
    figures["open_2000"] = {
        "server_ms": round(statistics.median(search.request_ms(stack, session, address)), 1),
        "queries": stack.run(QUERIES.format(session=session, address=address)),
        "drawn_ms": drawn_ms(stack, browser, session, address),
    }
    figures["stream"] = stream(stack, browser, session)
    figures |= search.measure(stack, with_many_chats, "person1@example.org")
    return figures


@contextmanager
def opened(stack: RunningStack, browser: Browser, session: str) -> Iterator[Page]:
    """A page of a browser with nothing in its cache."""
    context = browser.new_context(base_url=stack.url, viewport={"width": 1280, "height": 860})
    context.add_cookies([{"name": "session", "value": session, "url": stack.url, "httpOnly": True}])
    context.add_init_script(OBSERVE)
    yield context.new_page()
    context.close()


def first_visit(stack: RunningStack, browser: Browser, session: str) -> dict[str, Any]:
    """Weights in KB (1,024 bytes, as sent), the largest paint in ms, layout shifts."""
    with opened(stack, browser, session) as page:
        page.goto("/")
        page.wait_for_timeout(2000)
        return {
            "js_kb": round(page.evaluate(WEIGHT, ".js") / 1024, 1),
            "css_kb": round(page.evaluate(WEIGHT, ".css") / 1024, 1),
            "lcp_ms": round(page.evaluate("seen.lcp")),
            "cls": round(page.evaluate("seen.cls"), 4),
        }


def drawn_ms(stack: RunningStack, browser: Browser, session: str, address: str) -> int:
    """From the click to the largest paint of a long chat, with scripts and styles in the cache; the median of five."""
    times: list[float] = []
    with opened(stack, browser, session) as page:
        page.goto("/")
        for _ in range(5):
            page.goto(address)
            page.wait_for_timeout(700)
            times.append(page.evaluate("seen.lcp"))
            page.goto("/")
    return round(statistics.median(times))


def stream(stack: RunningStack, browser: Browser, session: str) -> dict[str, Any]:
    """Draw a reply: the share of time in which the page's thread was busy, its longest task, touched blocks."""
    with opened(stack, browser, session) as page:
        page.goto("/")
        page.evaluate(WATCH)
        composer(page).fill(f"[[rate={TOKENS_PER_S};say]]{REPLY}")
        browser.start_tracing(page=page, categories=["toplevel"])
        started = time.monotonic()
        composer(page).press("Enter")
        page.locator("article[data-status=completed]").wait_for(timeout=LONGEST_REPLY_S * 1000)
        seconds = time.monotonic() - started
        tasks_ms = _tasks_ms(json.loads(browser.stop_tracing()))
        return {
            "busy": round(sum(tasks_ms) / 1000 / seconds, 3),
            "longest_task_ms": round(max(tasks_ms), 1),
            "replaced": page.evaluate("window.replaced"),
        }


def _tasks_ms(trace: dict[str, Any]) -> list[float]:
    """Processor time of all tasks of the busiest page's main thread; other programs on the machine are not in it."""
    events = trace["traceEvents"]
    mains = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    by_thread: dict[tuple[int, int], list[float]] = {thread: [] for thread in mains}
    for event in events:
        thread = event["pid"], event["tid"]
        if event["name"].endswith("RunTask") and "tdur" in event and thread in by_thread:
            by_thread[thread].append(event["tdur"] / 1000)
    return max(by_thread.values(), key=sum)


def _flat(figures: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name} ")
        else:
            yield prefix + name, value


if __name__ == "__main__":
    main()
