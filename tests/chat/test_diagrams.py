"""Mermaid becomes an image that only draws, whatever it says, and a source where it can't."""

from __future__ import annotations

import html
import os
import re
import sys
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest

from chat.diagram import artist, drawn, redrawn
from chat.diagram.svg import Unfit, cleaned
from chat.markdown import in_language, render
from qwenweb.up.install import draws_diagrams

FLOW = 'flowchart LR\n  A["<b>Start</b>"] --> B{"Is it \'well\' & <good>?"}\n'
NOTE = '<p class="code__note">This diagram can’t be drawn, so here is its source.</p>'
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 40 30.5">{}</svg>'
)
TAGS = "svg g defs marker symbol use path rect circle ellipse line polyline polygon text tspan style"

on_drawing_machines = pytest.mark.skipif(
    not draws_diagrams(), reason="The renderer of diagrams is not built for this machine, so they stay sources here."
)


def block(source: str) -> str:
    return render(f"```mermaid\n{source}```\n")


def pictures(markup: str) -> list[str]:
    return [unquote(html.unescape(svg)) for svg in re.findall('src="data:image/svg[+]xml,([^"]*)"', markup)]


def faults(svg: str) -> list[str]:
    """What in a picture could run, lead somewhere or load something: written down apart from what cleans it."""
    found = re.findall(r"url\((?!#)|@|<!|<\?|&(?!lt;|gt;|amp;|#39;)|\\", svg)
    for element in ElementTree.fromstring(svg).iter():
        name = element.tag.removeprefix("{http://www.w3.org/2000/svg}")
        found += [] if name in TAGS.split() else [name]
        found += [key for key in element.attrib if key.startswith("on") or "src" in key]
        found += [value for key, value in element.items() if key.endswith("href") and not value.startswith("#")]
        found += [value for key, value in element.items() if re.search("javascript|data:|//", value)]
        found += re.findall("//|javascript", element.text or "") if name == "style" else []
    return found


@on_drawing_machines
def test_K2_mermaid_is_a_diagram_with_a_switch_to_its_source_which_is_its_name() -> None:
    markup = drawn("<p>Before</p>" + block(FLOW) + render("```python\nx = 1\n```\n") + block("graph TD\n x --> y\n"))
    first, second = pictures(markup)
    assert ">Start<" in first and ">y<" in second
    assert faults(first) == faults(second) == []
    assert re.findall('<img [^>]* width="([1-9][0-9]+)" height="([1-9][0-9]+)" alt="', markup)
    assert html.unescape(re.findall('alt="([^"]*)"', markup)[0]) == FLOW.strip()
    assert html.unescape(re.findall("<code>([^<]*)</code>", markup)[0]) == FLOW
    names = re.findall('<label><input type="radio" name="([^"]+)" value="(?:diagram" checked|source")>', markup)
    assert names[0] == names[1] != names[2] == names[3] and len(names) == 4
    assert markup.count('class="diagram"') == 2


@on_drawing_machines
@pytest.mark.parametrize(
    "source",
    [
        'graph TD\n A-->B\n click A "javascript:alert(1)" "tip"\n click B href "https://evil.example/" _blank\n',
        'graph TD\n A["<img src=https://evil.example/a.png onerror=alert(1)>"]\n',
        'graph TD\n A["</text></svg><script>alert(1)</script>"]\n',
        'graph TD\n A@{ img: "https://evil.example/a.png", label: "x", w: 60, h: 60 } --> B@{ icon: "fa:user" }\n',
        "graph TD\n A\n style A fill:url(https://evil.example/x.svg#a)\n",
        "graph TD\n A\n classDef x fill:#fff,background:url(https://evil.example/b.png)\n class A x\n",
        '%%{init: {"themeCSS": "@import url(//evil.example/a.css);", "securityLevel": "loose"}}%%\ngraph TD\n A\n',
        "---\ntitle: Kept\nconfig:\n  themeCSS: '@import url(https://evil.example/a.css);'\n---\ngraph TD\n A --> B\n",
        "sequenceDiagram\n participant A\n link A: Evil @ javascript:alert(1)\n A->>A: x\n",
        'gantt\n dateFormat YYYY-MM-DD\n section S\n x :a, 2020-01-01, 1d\n click a href "javascript:alert(1)"\n',
        'classDiagram\n class A\n link A "javascript:alert(1)" "t"\n A <|-- B\n',
    ],
)
def test_K2_no_diagram_runs_leads_or_loads(source: str) -> None:
    (picture,) = pictures(drawn(block(source)))
    assert faults(picture) == []
    assert "Kept" not in source or "Kept" in picture


@pytest.mark.parametrize(
    "inside",
    [
        "<script>alert(1)</script>",
        '<rect onclick="alert(1)" width="1" height="1"/>',
        '<a xlink:href="javascript:alert(1)" href="javascript:alert(1)"><text>x</text></a>',
        '<image href="https://evil.example/a.png"/>',
        '<use xlink:href="https://evil.example/a.svg#x"/><use href="data:image/svg+xml,x"/>',
        '<foreignObject><img xmlns="http://www.w3.org/1999/xhtml" src="x" onerror="alert(1)"/></foreignObject>',
        '<h:script xmlns:h="http://www.w3.org/1999/xhtml">alert(1)</h:script>',
        '<a><set attributeName="href" to="javascript:alert(1)"/><animate attributeName="href" values="x"/></a>',
        '<style>@import "https://evil.example/a.css"; #d{fill:url(https://evil.example/a.svg)}</style>',
        r"<style>#d{fill:\75rl(//evil.example)} #d{background:url(//evil.example)} #d{fill:URL(a)}</style>",
        "<style><![CDATA[</style><script>alert(1)</script>]]></style>",
        '<rect fill="url(//evil.example/a)" style="fill:url(//evil.example/a);stroke:image-set(\'a\')"/>',
        '<svg viewBox="0 0 1 1" onload="alert(1)"><g><metadata>x</metadata></g></svg>',
        '<text id="a&quot;&gt;&lt;script&gt;">&lt;script&gt;</text><?xml-stylesheet href="//evil.example"?><!-- x -->',
    ],
)
def test_K2_a_renderer_that_was_taken_over_gets_nothing_into_the_page(inside: str) -> None:
    assert faults(cleaned(SVG.format(inside + '<path d="M0 0"/>')).svg) == []


@pytest.mark.parametrize(
    "svg",
    [
        "",
        "no SVG",
        "<html/>",
        SVG.format("<g>"),
        SVG.format("").replace("0 0 40", "0 0 999999"),
        SVG.format("").replace("0 0 40", "0 0 nan"),
        SVG.format("<path/>" * 50_000),
        '<!DOCTYPE svg [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;">]>' + SVG.format("<text>&b;</text>"),
    ],
)
def test_what_is_no_picture_for_a_page_is_refused(svg: str) -> None:
    with pytest.raises(Unfit):
        cleaned(svg)


def test_a_picture_keeps_what_is_drawn_and_drops_what_nothing_uses() -> None:
    marker = '<marker id="{}"><path d="M0 0"/></marker>'
    style = "<style>#d .a{fill:red;position:fixed}#d .b{fill:blue}#d .a,#d .b{stroke:rgb(1, 2, 3)}</style>"
    used, unused = marker.format("used"), marker.format("unused")
    path = '<path class="a" d="M1.23456 2" marker-end="url(#used)"/>'
    svg, width, height = cleaned(SVG.format(style + used + unused + path))
    assert (width, height) == (40, 31)
    assert "#d .a{fill:red}#d .a{stroke:rgb(1, 2, 3)}" in svg
    assert "id='used'" in svg and "unused" not in svg and "M1.23 2" in svg


@on_drawing_machines
@pytest.mark.parametrize(
    "source", ["flowchart TD\n A--\n", "hello\n", "", "graph TD\n A" + "(" * 9_000, "pie\n" + "x" * 30_000]
)
def test_K2_what_is_no_diagram_stays_source_and_says_so(source: str) -> None:
    markup = drawn(block(source))
    assert NOTE in markup
    assert "radio" not in markup and "<img" not in markup
    assert f"<code>{html.escape(source)}" in markup


@on_drawing_machines
@pytest.mark.parametrize(
    "program",
    ["while True: pass", "import os; os.abort()", "print('<svg')", "print('x' * 10_000_000)", "raise SystemExit(3)"],
)
def test_a_renderer_that_hangs_crashes_or_babbles_leaves_the_source(
    monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setattr(artist, "COMMAND", (sys.executable, "-c", program))
    monkeypatch.setattr(artist, "TIME_S", 0.5)
    assert NOTE in drawn(block(FLOW))


@on_drawing_machines
@pytest.mark.parametrize("made", ["bytearray(1 << 31) and svg", "svg + ' ' * (2 << 20)", "svg"])
def test_the_renderer_has_little_memory_and_its_answer_a_length(monkeypatch: pytest.MonkeyPatch, made: str) -> None:
    program = (
        "import sys, types\nmerman = sys.modules['merman'] = types.ModuleType('merman')\n"
        "merman.MermanError = KeyError\n"
        f"svg = {SVG.format('')!r}; merman.Merman = lambda: types.SimpleNamespace(render_svg=lambda *_: {made})\n"
        "from chat.diagram.draw import main; sys.exit(main())"
    )
    monkeypatch.setattr(artist, "COMMAND", (sys.executable, "-c", program))
    assert (NOTE in drawn(block(FLOW))) == (made != "svg")


@on_drawing_machines
def test_the_renderer_knows_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QWENWEB_SECRET_KEY", "secret")
    monkeypatch.setenv("DATABASE_URL", "secret")
    names = "','.join(sorted(os.environ))"
    program = f"import os; print({SVG.format('<text>{}</text>')!r}.format({names}))"
    monkeypatch.setattr(artist, "COMMAND", (sys.executable, "-c", program))
    (picture,) = pictures(drawn(block(FLOW)))
    assert "SECRET" not in picture and "DATABASE" not in picture
    assert "secret" in os.environ.values()


@on_drawing_machines
def test_one_reply_has_only_so_many_diagrams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artist, "MAX_DIAGRAMS", 1)
    markup = drawn(block("pie\n 'a' : 1\n") + block('pie\n "a" : 1\n') + block('pie\n "b" : 1\n'))
    assert markup.count(NOTE) + markup.count('class="diagram"') == 3
    assert markup.count('class="diagram"') <= 1


@on_drawing_machines
def test_a_shared_reply_with_something_struck_out_keeps_the_diagrams_without_it() -> None:
    kept, secret, struck = "graph TD\n a --> b\n", "graph TD\n key --> c\n", "graph TD\n ███ --> c\n"
    before = drawn(block(kept) + block(secret) + block("no diagram\n"))
    after = redrawn(block(struck) + block(kept) + block("no diagram\n"), before)
    assert pictures(after) == pictures(before)[:1]
    assert after.count(NOTE) == 1
    assert "key" not in after


def test_other_code_and_what_people_write_themselves_stays_as_it_is() -> None:
    markup = render('```python\nx = 1\n```\n\n<div class="code" data-language="mermaid">\n\nmermaid')
    assert drawn(markup) == markup
    assert redrawn(markup, markup) == markup


@on_drawing_machines
def test_the_words_of_a_diagram_are_put_in_and_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    words = {word: f"<{word}>" for word in ("View", "Diagram", "Source", "Copy", "Download", "Wrap")}
    monkeypatch.setattr("chat.markdown.words._words", lambda _: words | {NOTE[22:-4]: "no"})
    markup = in_language(drawn(block('graph TD\n A["Source"] --> Diagram\n') + block("nothing\n")), "xx")
    assert 'aria-label="<View>"' in markup and 'aria-label="<Diagram>"' in markup
    assert "checked><Diagram></label>" in markup and '"source"><Source></label>' in markup
    assert '<p class="code__note">no</p>' in markup
    assert "Diagram</code>" in re.sub(r"\n", "", markup) or "Diagram\n</code>" in markup
