"""Make the pictures of the documents from the running page: `make screenshots`.

The scripted engine answers, so that the pictures change only when the page does.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from docs import contact_sheets  # noqa: E402
from tests.e2e.conftest import BROWSERS, FLAGS  # noqa: E402
from tests.e2e.steps import ask, wait_for_end  # noqa: E402
from tests.stack import RunningStack, running_stack  # noqa: E402

PICTURES = ROOT / "docs" / "screenshots"
SHEETS = PICTURES / "pages"
QUESTION = "How do I count the lines of a very large file in Python?"
REPLY = """\
Read it **in pieces**, so that memory stays small however large the file is:

```python
def num_lines(path: str) -> int:
    count = 0
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            count += piece.count(b"\\n")
    return count
```

| Way | Memory | Good for |
| --- | ---: | --- |
| `len(file.readlines())` | the whole file | small files |
| `sum(1 for _ in file)` | one line | short lines |
| in pieces, as above | 1 MB | any file |

A file of $n$ bytes takes $\\lceil n / 2^{20} \\rceil$ reads. The last line counts only if it ends with a line break.
"""
EARLIER = (
    "What is a good name for a boat?",
    "Translate the minutes of Monday's meeting",
    "Regular expression for dates",
    "Plan a week of simple dinners",
    "Why does my query use no index?",
)


def main() -> None:
    """Start qwenweb and a browser, and write the pictures."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        sys.exit("There is no Chromium or Chrome on this machine to take the pictures with.")
    SHEETS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="qwenweb-pictures-") as folder, sync_playwright() as playwright:
        Path(folder).chmod(0o755)
        with running_stack(Path(folder) / "var", QWENWEB_SCRIPT=f"text={REPLY}") as stack:
            browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
            contact_sheets.entrance(browser, stack, SHEETS)
            stack.run("from django.core.management import call_command\ncall_command('demo', days=90)")
            stack.run("from chat.models import Banner\nBanner.objects.all().delete()")
            [session_key] = stack.people(1)
            conversation = take(browser, stack, session_key)
            contact_sheets.inside(browser, stack, session_key, conversation, SHEETS)
            contact_sheets.review(browser, stack, SHEETS)
            browser.close()


def take(browser: Browser, stack: RunningStack, session_key: str) -> str:
    """Ask once, then look at the reply in two ways; the path of the conversation."""
    stack.run(
        "from chat.models import Conversation, User\n"
        "user = User.objects.get(email='person0@example.org')\n"
        "user.name = 'Ada Lovelace'; user.save()\n"
        f"[Conversation.start(user, text, str(i)) for i, text in enumerate({EARLIER})]"
    )
    page = open_page(browser, stack, session_key, "/", width=1280, height=860)
    ask(page, QUESTION)
    wait_for_end(page)
    keep(page, "chat.png")
    conversation = page.url.removeprefix(stack.url)
    keep(open_page(browser, stack, session_key, conversation, width=1280, height=860, dark=True), "chat-dark.png")
    return conversation


def open_page(
    browser: Browser, stack: RunningStack, session_key: str, path: str, *, width: int, height: int, dark: bool = False
) -> Page:
    context = browser.new_context(
        base_url=stack.url,
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
    )
    context.add_cookies([{"name": "session", "value": session_key, "url": stack.url, "httpOnly": True}])
    page = context.new_page()
    page.goto(path)
    return page


def keep(page: Page, name: str) -> None:
    page.locator("#model dt").get_by_text("scripted").first.wait_for(state="attached")
    page.mouse.move(0, 0)
    page.wait_for_timeout(500)  # for fonts and the scroll to the end of the reply
    page.screenshot(path=PICTURES / name)


if __name__ == "__main__":
    main()
