"""Every page as people with other screens, eyes and languages see it: one picture a page, made by `make screenshots`.

A row for each language and theme, a column for each width. What is wider than its screen is told on the way.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import Browser, BrowserContext, Page

from tests.stack import SIGNED_IN, RunningStack

SIZES = ((390, 844), (768, 1024), (1440, 900))
LOOKS = tuple(product(("en", "ar"), ("light", "dark")))
ROW_HEIGHT = 500
GAP = 12

WIDER = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
# In the browser, which knows how to write WebP.
SHEET = """async ([pictures, width, height]) => {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const paper = canvas.getContext("2d");
  paper.fillStyle = "#808088";
  paper.fillRect(0, 0, width, height);
  paper.imageSmoothingQuality = "high";
  for (const [data, ...place] of pictures) {
    const image = new Image();
    image.src = `data:image/png;base64,${data}`;
    await image.decode();
    paper.drawImage(image, ...place);
  }
  return canvas.toDataURL("image/webp", 0.72).split(",")[1];
}"""


class Shot(NamedTuple):
    """An address, and the address of what its dialog shows, if that is looked at."""

    name: str
    path: str
    dialog: str = ""


def entrance(browser: Browser, stack: RunningStack, folder: Path) -> None:
    """What is seen before anybody has an account."""
    found = re.search(r"http://\S+(/setup/\S+/)", stack.output)
    assert found, "The server named no address for its setup."
    shots = [Shot("sign-in", "/accounts/login/"), Shot("setup", found[1])]
    sheets(browser, stack, "", shots, folder)


def inside(browser: Browser, stack: RunningStack, session: str, chat: str, folder: Path) -> None:
    """What somebody sees with `chat`, the path of a conversation."""
    link = stack.run(
        "from chat.models import Conversation, ShareLink\n"
        "from chat.models.snapshot import Draft, Selection\n"
        f"conversation = Conversation.objects.get(id={chat.removeprefix('/c/')!r})\n"
        "draft = Draft(conversation.active_leaf)\n"
        "how = {'audience': 'members', 'people': [], 'days': 30, 'password': '', 'is_live': False}\n"
        "link = ShareLink.create(draft, Selection(), **how)\n"
        "result = link.token"
    )
    shots = [
        Shot("new-chat", "/"),
        Shot("chat", chat),
        Shot("search", "/search/?q=how"),
        Shot("settings", chat, "/settings/"),
        Shot("share", chat, f"{chat}/links/"),
        Shot("export", chat, f"{chat}/export/"),
        Shot("shared", f"/s/{link}/"),
        Shot("print", f"{chat}/print/"),
        Shot("import", "/settings/import/"),
    ]
    sheets(browser, stack, session, shots, folder)


def review(browser: Browser, stack: RunningStack, folder: Path) -> None:
    """What an administrator of the demonstration's team sees."""
    session = stack.run(
        f"{SIGNED_IN}\n"
        "User.objects.filter(email='nadia@demo.invalid').update(email='person1@example.org')\n"
        "result = signed_in(1)"
    )
    names = ("usage", "/settings/usage/"), ("admin-usage", "/admin/usage/"), ("workers", "/admin/workers/")
    sheets(browser, stack, session, [Shot(*each) for each in names], folder)


def sheets(browser: Browser, stack: RunningStack, session: str, shots: list[Shot], folder: Path) -> None:
    """Look at each page in each way, and write one picture of each."""
    taken: dict[str, list[bytes]] = {shot.name: [] for shot in shots}
    for (language, theme), (width, height) in product(LOOKS, SIZES):
        with opened(
            browser, stack, session, locale=language, color_scheme=theme, width=width, height=height
        ) as context:
            page = context.new_page()
            for shot in shots:
                taken[shot.name].append(picture(page, shot, f"{language}, {theme}, {width} px"))
    for name, pictures in taken.items():
        (folder / f"{name}.webp").write_bytes(_sheet(browser, pictures))


@contextmanager
def opened(
    browser: Browser, stack: RunningStack, session: str, *, width: int, height: int, **look: object
) -> Iterator[BrowserContext]:
    context = browser.new_context(
        base_url=stack.url,
        viewport={"width": width, "height": height},
        reduced_motion="reduce",
        **look,  # type: ignore[arg-type]
    )
    if session:
        context.add_cookies([{"name": "session", "value": session, "url": stack.url, "httpOnly": True}])
    yield context
    context.close()


def picture(page: Page, shot: Shot, look: str) -> bytes:
    page.goto(shot.path)
    if shot.dialog:
        page.evaluate("address => htmx.ajax('GET', address, { target: '#dialog', swap: 'innerHTML' })", shot.dialog)
        page.locator("#dialog h2").first.wait_for()
    page.mouse.move(0, 0)
    page.wait_for_timeout(250)  # for what opens and scrolls
    if wider := page.evaluate(WIDER):
        print(f"{shot.name} ({look}) is {wider} px wider than its screen.")  # noqa: T201
    return page.screenshot()


def _sheet(browser: Browser, pictures: list[bytes]) -> bytes:
    widths = [round(width * ROW_HEIGHT / height) for width, height in SIZES]
    starts = [GAP + sum(widths[:i]) + GAP * i for i in range(len(SIZES))]
    placed = [
        [
            base64.b64encode(content).decode(),
            starts[i % len(SIZES)],
            GAP + i // len(SIZES) * (ROW_HEIGHT + GAP),
            widths[i % len(SIZES)],
            ROW_HEIGHT,
        ]
        for i, content in enumerate(pictures)
    ]
    page = browser.new_page()
    total = sum(widths) + GAP * (len(SIZES) + 1), GAP + len(LOOKS) * (ROW_HEIGHT + GAP)
    sheet = page.evaluate(SHEET, [placed, *total])
    page.close()
    return base64.b64decode(sheet)
