from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from .conftest import Open
from .steps import answer, ask, reply, wait_for_end

CHINESE = {"locale": "zh-CN"}
PHONE = {"viewport": {"width": 390, "height": 844}}


def choose(page: Page, name: str) -> None:
    page.locator("[popovertarget=account]").click()
    page.locator(".languages").get_by_role("button", name=name, exact=True).click()


def test_L5_the_page_speaks_the_language_of_the_browser(open_page: Open) -> None:
    page = open_page(**CHINESE)
    assert page.evaluate("document.documentElement.lang") == "zh-hans"
    assert page.evaluate("document.documentElement.dir") == "ltr"
    page.get_by_role("textbox", name="消息").fill("[[tokens=4000;rate=40;reasoning=30]]")
    page.get_by_role("button", name="发送").click()
    expect(page.locator("summary")).to_contain_text("正在思考…")
    expect(page.locator("[data-announcer]")).to_have_text("正在回答")
    expect(page.locator("summary")).to_contain_text(re.compile(r"思考了 \d+ 秒"))
    page.get_by_role("textbox", name="消息").fill("再来一个")
    page.keyboard.press("Enter")
    queued = page.get_by_role("list", name="即将发送")
    expect(queued.get_by_text("再来一个")).to_be_visible()
    queued.get_by_role("button", name="删除").click()
    page.get_by_role("button", name="停止").click()
    wait_for_end(page, "stopped")
    expect(page.locator("[data-announcer]")).to_have_text("回复已停止")
    expect(reply(page).get_by_text("已停止")).to_be_visible()
    expect(reply(page).get_by_role("button", name="重新生成")).to_be_visible()
    reply(page).get_by_role("button", name="继续").click()
    expect(page.get_by_role("button", name="停止")).to_be_visible()
    expect(page.get_by_role("navigation", name="对话列表").get_by_role("heading", name="今天")).to_be_visible()


def test_L5_a_language_is_chosen_in_the_menu_and_holds_on_another_device(open_page: Open) -> None:
    desk = open_page()
    ask(desk, "Hello")
    wait_for_end(desk)
    address = desk.url
    desk.get_by_role("textbox", name="Message").fill("not sent yet")
    choose(desk, "简体中文")
    expect(desk.locator("html")).to_have_attribute("lang", "zh-hans")
    assert desk.url == address
    expect(desk.get_by_role("textbox", name="消息")).to_have_value("not sent yet")
    phone = open_page(**PHONE)
    expect(phone.locator("html")).to_have_attribute("lang", "zh-hans")
    phone.get_by_role("button", name="展开侧边栏").click()
    choose(phone, "English")
    expect(phone.locator("html")).to_have_attribute("lang", "en")
    desk.reload()
    expect(desk.locator("html")).to_have_attribute("lang", "en")
    desk.locator("[popovertarget=account]").click()
    chosen = desk.get_by_role("group", name="Language").get_by_role("button", name="English")
    expect(chosen).to_have_attribute("aria-pressed", "true")


def test_L5_the_language_is_chosen_without_scripts_too(open_page: Open) -> None:
    page = open_page(java_script_enabled=False)
    choose(page, "简体中文")
    expect(page.get_by_role("textbox", name="消息")).to_be_visible()


def test_L5_two_tabs_in_two_languages_show_one_reply_each_in_its_own(open_page: Open) -> None:
    english = open_page()
    ask(english, "[[rate=60;say]]" + "Words. " * 20 + "\n\n```\ncode\n```\n\n" + "More. " * 40)
    chinese = open_page(english.url, **CHINESE)
    expect(answer(reply(chinese)).locator(".code").get_by_role("button", name="复制")).to_be_visible()
    expect(answer(reply(english)).locator(".code").get_by_role("button", name="Copy")).to_be_visible()
    for page, name in ((chinese, "复制"), (english, "Copy")):
        actions = wait_for_end(page).locator("[data-part=actions]")
        expect(actions.get_by_role("button", name=name)).to_be_visible()
        expect(answer(reply(page)).locator(".code").get_by_role("button", name=name)).to_be_visible()


def test_L5_a_selection_survives_the_end_in_chinese_too(open_page: Open) -> None:
    page = open_page(**CHINESE)
    page.get_by_role("textbox", name="消息").fill(
        "[[rate=60;say]]Select this paragraph.\n\n```\ncode\n```\n\n" + "More words. " * 20
    )
    page.keyboard.press("Enter")
    expect(answer(reply(page)).locator("p")).to_have_count(2)
    page.evaluate("getSelection().selectAllChildren(document.querySelector('[data-part=answer] p'))")
    wait_for_end(page)
    assert page.evaluate("String(getSelection()).trim()") == "Select this paragraph."


def test_L5_sign_in_follows_the_browser(contexts: Callable[..., BrowserContext]) -> None:
    page = contexts(**CHINESE).new_page()
    page.goto("/")
    expect(page.get_by_role("button", name="登录")).to_be_visible()
    page.get_by_role("textbox", name="电子邮箱").fill("nobody@example.org")
    page.get_by_role("textbox", name="密码").fill("wrong")
    page.get_by_role("button", name="登录").click()
    expect(page.locator(".errorlist.nonfield")).to_contain_text("不正确")


@pytest.mark.parametrize("width", [1440, 390])
def test_L5_nothing_scrolls_sideways_in_chinese(open_page: Open, width: int) -> None:
    page = open_page(**CHINESE, viewport={"width": width, "height": 844})
    main = page.get_by_role("main").bounding_box()
    assert main
    assert main["x"] + main["width"] == width
    page.get_by_role("textbox", name="消息").fill("[[rate=0;say]]" + "很长的一段话，没有空格。" * 60)
    page.keyboard.press("Enter")
    wait_for_end(page)
    assert page.evaluate("document.documentElement.scrollWidth") == width
