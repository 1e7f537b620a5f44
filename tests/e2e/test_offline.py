"""What people see who open the page while the server is not to be reached."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.conftest import wait_for

from .conftest import Open
from .steps import composer, say

IS_KEPT = """() => new Promise((resolve) => {
    const { serviceWorker } = navigator;
    if (serviceWorker.controller) resolve();
    else serviceWorker.addEventListener("controllerchange", () => resolve());
})"""
KEPT = """async () => {
    const [name, ...others] = await caches.keys();
    const kept = await (await caches.open(name)).keys();
    return [others.length, ...kept.map(({ url }) => new URL(url).pathname)];
}"""


# As on phones, where a page itself can make none; and nobody looks.
LOOK_AWAY = """() => {
    localStorage.setItem("setting:notify", "on");
    window.Notification = class { static permission = "granted"; constructor() { throw new TypeError(); } };
    Object.defineProperty(document, "hidden", { value: true, configurable: true });
}"""
NOTES = """async () => {
    const worker = await navigator.serviceWorker.ready;
    return (await worker.getNotifications()).map(({ body, data }) => [body, data]);
}"""


def says_so(page: Page) -> None:
    expect(page.get_by_role("heading", name="The server cannot be reached")).to_be_visible()


def test_S7_the_service_worker_notifies_where_a_page_cannot(open_page: Open) -> None:
    page = open_page(service_workers="allow", permissions=["notifications"])
    page.evaluate(IS_KEPT)
    page.evaluate(LOOK_AWAY)
    say(page, "Done.")
    wait_for(
        lambda: page.evaluate(NOTES) == [["Reply finished", page.url.removeprefix(page.evaluate("location.origin"))]]
    )


def test_S6_C4_without_a_server_the_page_says_so_and_goes_on_with_the_draft_when_it_is_back(open_page: Open) -> None:
    page = open_page(service_workers="allow")
    page.evaluate(IS_KEPT)
    say(page, "For my eyes only.")
    composer(page).fill("Not sent yet")
    address = page.url

    page.context.set_offline(True)
    page.reload()
    says_so(page)
    assert page.url == address
    assert page.locator(".card").evaluate("card => getComputedStyle(card).display") == "grid"  # its styles are kept too
    page.goto("/accounts/login/")
    says_so(page)
    page.get_by_role("link", name="Try again").click()
    says_so(page)
    num_stale, *paths = page.evaluate(KEPT)
    assert num_stale == 0
    assert [path for path in paths if not path.startswith("/static/")] == ["/offline/"]
    page.goto(address)
    says_so(page)

    page.context.set_offline(False)
    expect(composer(page)).to_have_value("Not sent yet", timeout=20_000)
    expect(page.get_by_text("For my eyes only.").first).to_be_visible()
