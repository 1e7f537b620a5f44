from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.markdown import BlockRenderer, render, render_blocks
from chat.markdown.mend import mended
from chat.markdown.parser import Part, References, parse

from .hostile import ADDRESS_PLACES, ADDRESSES, HTML, HTML_PLACES
from .safety import faults

CODE = "def f(x):\n\n    return '`'\n"
CORPUS = {
    "headings": "# A\ntext\n## B\n\nC\n===\nD\n---\nE\n\n#\n#F\n",
    "setext over lines": "a\nb\nc\n===\nd\n-\n- e\n",
    "rules": "a\n***\nb\n\n---\n- - -\n* * *\n",
    "lazy quote": "> a\nb\n> c\n\nd\n>e\n- f\ng\n",
    "nested quotes": "> > > a\n> b\n>\n> c\n\n> d\n",
    "loose list": "- a\n\n- b\n\n  c\n\n\n- d\n\ne\n",
    "tight list": "1. a\n2. b\n   - c\n     - d\n3. e\n\n4) f\n* g\n+ h\n",
    "list ends by text": "- a\nlazy\n\nnot lazy\n",
    "list with code": f"1. a\n\n   ```py\n   {CODE.replace(chr(10), chr(10) + '   ')}\n   ```\n2. b\n",
    "list with open code": "- a\n  ```py\n  x = 1\n  y",
    "table": "| a | b |\n|---|:-:|\n| 1 | 2 |\n3 | 4\n\ntext | no\n",
    "table after text": "text\na | b\n- | -\n1 | 2\n> q\n",
    "table that is none": "a | b\n-- | x\n",
    "fence": f"before\n```python\n{CODE}```\nafter\n",
    "fences at once": f"```python\n{CODE}```\n```js\n1\n```\n~~~~\n~~~\n~~~~\n",
    "long fence": f"`````md\n```py\n{CODE}```\n`````\n",
    "fence with other fences inside": "```\n~~~\n````x\n``` x\n    ```\n```  \nend\n",
    "fence without end": f"```python\n{CODE}",
    "fence closed without line end": f"```python\n{CODE}```",
    "empty fence": "```\n```\n```\n",
    "indented fence": "  ```py\n  a\n    b\n c\n\td\n  ```\n",
    "fence that is none": "```a`b\nc\n```\nd\n```\n",
    "fence in quote": "> ```\n> a\nb\n",
    "indented code": "    a\n\n    b\n\nc\n    d\n",
    "math": "$$\na\n- b\n# c\n$$\n\\[ x \\]\n\\[\ny\n\\]\n\\begin{align}\na &= b\n\\end{align}\nz\n",
    "math without end": "$$\na\n- b\n\n# c\n\n\\[ x\n> y",
    "math interrupts text": "a\n$$\nx\n$$\nb $$y$$ c\n$$ d $$ e\n",
    "math in list": "- $$\n  a\n  $$\n- \\[ b\n  \\]\n\nc\n",
    "prices": "It is $5, not $6.\n\n$x$ and $$ y $$\n",
    "references": "[a] and [b][]\n\n[a]: https://a.example\n\n> [b]: https://b.example 'title\n> more'\n\n[a]\n",
    "reference titles over lines": "[a]\n\n[a]: https://a.example\n'title\n\nno title'\n",
    "only references": "[a]: https://a.example\n[b]: https://b.example\n",
    "html": "<div>\n\n*a*\n</div>\n<script>\n\nx\n</script>\n",
    "emphasis cut": "**a *b* ~~c~~ `d` [e](https://f.example) ![g](https://h.example/i.png)** _j_",
    "line ends": "a\r\nb\rc\n\r\n\r```\r\nd\r\n```\r\ne\r",
    "unstorable": "a\x00b\n\n```\nc\x00\ud800\n```\n",
    "unicode": "你好，**世界**。\n\n- 見https://a.example。\n\nمرحبا `x`\n\n👨‍👩‍👧\u2028x\x0by\x0c\n",
    "blank": "\n\n  \n\t\n",
    "empty": "",
    "trailing blanks": "a  \nb\\\nc   \n\n   \n",
}


def stream(text: str, size: int) -> BlockRenderer:
    renderer = BlockRenderer()
    for i in range(0, len(text), size):
        renderer.append(text[i : i + size])
        renderer.update()
    renderer.close()
    return renderer


def shown(renderer: BlockRenderer) -> str:
    return "".join(block.html for block in renderer.blocks)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 24, 1000])
@pytest.mark.parametrize("text", CORPUS.values(), ids=CORPUS.keys())
def test_a_reply_ends_as_its_whole_text_is_rendered(text: str, size: int) -> None:
    renderer = stream(text, size)
    assert shown(renderer) == render(text)
    assert [block.html for block in renderer.blocks if block.html] == render_blocks(text)
    assert all(block.code is None for block in renderer.blocks)


@pytest.mark.parametrize("size", [1, 5, 24])
@pytest.mark.parametrize("name", [name for name in CORPUS if "reference" not in name and "unstorable" not in name])
def test_a_finished_block_is_never_touched_again(name: str, size: int) -> None:
    text = CORPUS[name]
    renderer = BlockRenderer()
    finals: dict[int, str] = {}
    for i in range(0, len(text), size):
        renderer.append(text[i : i + size])
        for index in renderer.update():
            assert index not in finals
        finals = {index: block.html for index, block in enumerate(renderer.blocks[:-1])}
    renderer.close()
    assert {index: renderer.blocks[index].html for index in finals} == finals


@given(st.data())
def test_any_text_in_any_pieces_ends_as_its_whole(data: st.DataObject) -> None:
    line = st.one_of(
        st.sampled_from(CORPUS["table"].split("\n") + CORPUS["math"].split("\n") + CORPUS["references"].split("\n")),
        st.text(alphabet=st.sampled_from("ab `*_~#>-+=|:$\\[]()!1.\t\r<&\n"), max_size=12),
        st.sampled_from(
            ["```", "```py", "~~~", "- ", "  - a", "1. ", "> ", "    x", "$$", "\\[", "\\]", "===", "---", ""]
        ),
    )
    text = "\n".join(data.draw(st.lists(line, max_size=12)))
    renderer = BlockRenderer()
    rest = text
    while rest:
        size = data.draw(st.integers(1, 12))
        renderer.append(rest[:size])
        rest = rest[size:]
        if data.draw(st.booleans()):
            renderer.update()
        assert faults(shown(renderer)) == []
    renderer.close()
    assert shown(renderer) == render(text)


@given(st.text(), st.integers(1, 5))
def test_any_unicode_in_any_pieces_ends_as_its_whole(text: str, size: int) -> None:
    assert shown(stream(text, size)) == render(text)


def test_update_names_what_changed_and_nothing_else() -> None:
    renderer = BlockRenderer()
    assert renderer.update() == []
    renderer.append("one")
    assert renderer.update() == [0]
    assert renderer.update() == []
    renderer.append("\n\n")
    assert renderer.update() == []
    renderer.append("two")
    assert renderer.update() == [1]
    renderer.append("\n\n# three\n\nfour")
    assert renderer.update() == [2, 3]
    assert renderer.close() == []
    assert renderer.close() == []


def test_open_code_is_text_that_only_grows_and_is_coloured_once() -> None:
    renderer = BlockRenderer()
    texts = []
    text = f"```python\n{CODE}````\n"
    for char in text[:-1]:
        renderer.append(char)
        renderer.update()
        if renderer.blocks and renderer.blocks[0].code is not None:
            assert renderer.blocks[0].html == stream("```python\n```", 100).blocks[0].html
            texts.append(renderer.blocks[0].code)
    assert all(after.startswith(before) for before, after in pairwise(texts))
    assert texts[-1] == CODE
    renderer.append("\n")
    assert renderer.update() == [0]
    assert renderer.blocks[0].code is None
    assert "code-keyword" in renderer.blocks[0].html
    assert renderer.close() == []


def test_an_unfinished_fence_line_shows_nothing() -> None:
    renderer = BlockRenderer()
    for char in "```python title=x":
        renderer.append(char)
        renderer.update()
        assert shown(renderer) == ""


@pytest.mark.parametrize("mark", ["-", "--", "1", "12.", "#", ">", "|", "|--", "=", "~~", "- [", "$$"])
def test_a_line_that_may_become_anything_waits(mark: str) -> None:
    renderer = BlockRenderer()
    renderer.append(f"text\n{mark}")
    renderer.update()
    assert shown(renderer) == '<p dir="auto">text</p>\n'


def test_an_open_formula_is_its_source_in_one_block() -> None:
    renderer = BlockRenderer()
    renderer.append("$$\na\n- b\n# c\n")
    renderer.update()
    assert [block.html for block in renderer.blocks] == [
        '<div class="formula"><code class="formula">a\n- b\n# c</code></div>\n'
    ]


@pytest.mark.parametrize(
    ("cut", "whole"),
    [
        ("a **b", "a **b**"),
        ("a **b*", "a **b**"),
        ("a **", "a "),
        ("a **b *c", "a **b *c***"),
        ("a `b **c", "a `b **c`"),
        ("a `b` c", "a `b` c"),
        ("2 * 3", "2 * 3"),
        ("2*x", "2*x"),
        ("a_b", "a_b"),
        ("\\*a", "\\*a"),
        ("see [the docs](https://exa", "see the docs"),
        ("see [the do", "see the do"),
        ("see [it](https://a.example) and", "see [it](https://a.example) and"),
        ("~~a **b** c", "~~a **b** c~~"),
    ],
)
def test_open_marks_are_shown_closed(cut: str, whole: str) -> None:
    assert mended(cut) == whole


@pytest.mark.parametrize("text", ["a **b** c *d* `e` ~~f~~ [g](https://h.example) i", "**a** b", "- **a:** b\n- *c* d"])
def test_a_growing_text_never_shows_a_mark(text: str) -> None:
    renderer = BlockRenderer()
    for char in text:
        renderer.append(char)
        renderer.update()
        assert not set("*`~[]") & set(shown(renderer))


def test_finished_text_is_not_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []

    def counting_parse(source: str, references: References, is_open: bool = False) -> tuple[list[Part], References]:
        lengths.append(len(source))
        return parse(source, references, is_open)

    monkeypatch.setattr("chat.markdown.blocks.parse", counting_parse)
    text = "A paragraph of some words.\n\n" * 200 + "```py\n" + "x = 1\n" * 500
    renderer = BlockRenderer()
    for i in range(0, len(text), 10):
        renderer.append(text[i : i + 10])
        renderer.update()
    assert max(lengths) < 100


@pytest.mark.parametrize("payload", [*HTML[::6], *ADDRESSES[::6]])
def test_no_moment_of_a_stream_is_unsafe(payload: str) -> None:
    places = HTML_PLACES if payload in HTML else ADDRESS_PLACES
    for place in places[::3]:
        renderer = BlockRenderer()
        for char in place.replace("{}", payload).replace("{{", "{").replace("}}", "}"):
            renderer.append(char)
            renderer.update()
            assert faults(shown(renderer)) == []
