"""Make the icons of the installed page from the logo: `make icons`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.e2e.conftest import BROWSERS, FLAGS  # noqa: E402

ICONS = ROOT / "static" / "icons"
LOGO = (ROOT / "static" / "favicon.svg").read_text()
# Side in pixels, how much of it the logo takes, and the ground: systems cut a maskable icon to their own shape.
KINDS = {
    "192.png": (192, 0.92, "transparent"),
    "512.png": (512, 0.92, "transparent"),
    "maskable.png": (512, 0.6, "#ffffff"),
    "touch.png": (180, 0.76, "#ffffff"),
}


def main() -> None:
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        sys.exit("There is no Chromium or Chrome on this machine to draw the icons with.")
    ICONS.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        for name, (side, share, ground) in KINDS.items():
            page = browser.new_page(viewport={"width": side, "height": side})
            size = round(side * share)
            style = f"margin: 0; display: grid; place-items: center; height: {side}px; background: {ground}"
            logo = LOGO.replace("<svg ", f'<svg width="{size}" height="{size}" ')
            page.set_content(f'<body style="{style}">{logo}</body>')
            page.screenshot(path=ICONS / name, omit_background=True)
        browser.close()


if __name__ == "__main__":
    main()
