"""Blocks of tokens to HTML that is safe to put into a page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Any
from urllib.parse import unquote, urlsplit

import nh3
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from . import latex
from .code import CLASSES, colour, language
from .mend import mended
from .parser import PARSER, References

_TASK = re.compile(r"\[([ xX])\] ")
_ALIGNMENT = re.compile(r"text-align:(left|center|right)")
_BLOCK_TAGS = frozenset("blockquote h1 h2 h3 h4 h5 h6 ol p table ul".split())
_INLINE_TAGS = frozenset("a br button code copy-button div em hr li pre s span strong tbody td th thead tr".split())
_CELL_CLASSES = {"cell--left", "cell--center", "cell--right"}

# The last hand on everything that goes to a page; names exactly what the functions below make, and no more.
_SAFE = nh3.Cleaner(
    tags=set(_BLOCK_TAGS | _INLINE_TAGS | latex.TAGS),
    attributes={"a": {"href", "title"}, "ol": {"start"}, "div": {"data-language"}}
    | {tag: set(latex.ATTRIBUTES) for tag in latex.TAGS},
    tag_attribute_values={tag: {"dir": {"auto"}} for tag in _BLOCK_TAGS}
    | {
        "div": {"role": {"group"}, "aria-label": {"Table"}, "tabindex": {"0"}},
        "pre": {"dir": {"ltr"}, "tabindex": {"0"}},
        "button": {"type": {"button"}},
    },
    allowed_classes={
        "a": {"image-link"},
        "code": {"formula"},
        "div": {"code", "code__header", "formula", "table-scroll"},
        "span": {"code__language", *CLASSES.values()},
        "td": _CELL_CLASSES,
        "th": _CELL_CLASSES,
    },
    link_rel="noopener noreferrer nofollow",
    set_tag_attribute_values={"a": {"target": "_blank"}},
    url_schemes={"http", "https", "mailto"},
    url_relative="deny",
)


def safe_html(
    tokens: Sequence[Token], references: References, inlines: dict[str, str] | None = None, is_open: bool = False
) -> str:
    """The tokens of one block and the references its links may name, its HTML. With `is_open` the block still grows:
    it is shown as if it ended well here, and `inlines` keeps the HTML of its texts for the next time."""
    inlines = {} if inlines is None else inlines
    prepared = _as_if_ended(tokens) if is_open else list(tokens)
    for i, token in enumerate(prepared):
        if token.level == 0 and token.tag in _BLOCK_TAGS:
            prepared[i] = token.copy(attrs={**token.attrs, "dir": "auto"})
        elif token.type == "inline":
            is_item = i > 1 and tokens[i - 2].type == "list_item_open"
            prepared[i] = _with_html(token, references, inlines, is_item)
    return _SAFE.clean(PARSER.renderer.render(prepared, PARSER.options, {}))


def safe_code_shell(info: str) -> str:
    """What follows an opening fence, the block's HTML without any code in it."""
    return _SAFE.clean(_code_block("", info))


def _as_if_ended(tokens: Sequence[Token]) -> list[Token]:
    """The tokens of a growing block with its last text mended. Code at the end of a list or quote has no colours
    yet: they would be made again at each new word."""
    shown = list(tokens)
    last = max((i for i, token in enumerate(shown) if token.nesting == 0), default=-1)
    if last >= 0 and shown[last].type == "fence":
        shown[last] = shown[last].copy(meta={"is_plain": True})
    elif last >= 0 and shown[last].type == "inline":
        shown[last] = shown[last].copy(content=mended(shown[last].content), meta={"is_growing": True})
    return shown


def _with_html(token: Token, references: References, inlines: dict[str, str], is_item: bool) -> Token:
    """A copy of an inline token that holds its HTML, so that the same token may be rendered again."""
    content, mark = token.content, ""
    if is_item and (task := _TASK.match(content)):
        content, mark = content[task.end() :], "☐ " if task[1] == " " else "☑ "
    html = inlines.get(content)
    if html is None:
        html = _inline_html(content, references)
        if not token.meta.get("is_growing"):
            inlines[content] = html
    return token.copy(children=[Token("html_inline", "", 0, content=mark + html)])


def _inline_html(content: str, references: References) -> str:
    env = {"references": references}
    token = Token("inline", "", 0, content=content, children=[])
    PARSER.core.process(StateCore("", PARSER, env, [token]))
    children = token.children or []
    num_links = 0
    for child in children:
        num_links += child.nesting if child.tag == "a" else 0
        if child.type == "image":
            child.meta["is_in_link"] = num_links > 0
    return PARSER.renderer.renderInline(children, PARSER.options, env)


def _render_fence(_: Any, tokens: Sequence[Token], index: int, *__: object) -> str:
    token = tokens[index]
    lexer_name, _ = language(token.info)
    is_plain = token.meta.get("is_plain", False)
    return _code_block(escape(token.content) if is_plain else colour(token.content, lexer_name), token.info)


def _code_block(coloured: str, info: str) -> str:
    lexer_name, shown = language(info)
    return (
        f'<div class="code" data-language="{escape(lexer_name or "text")}"><div class="code__header">'
        f'<span class="code__language">{escape(shown)}</span>'
        f'<copy-button><button type="button">Copy</button></copy-button></div>'
        f'<pre dir="ltr" tabindex="0"><code>{coloured}</code></pre></div>\n'
    )


def _render_math_block(_: Any, tokens: Sequence[Token], index: int, *__: object) -> str:
    token = tokens[index]
    mathml = latex.to_mathml(token.content, "block") if token.meta["has_ended"] else None
    return f'<div class="formula">{mathml or _formula_source(token)}</div>\n'


def _render_math_inline(_: Any, tokens: Sequence[Token], index: int, *__: object) -> str:
    token = tokens[index]
    display = "block" if token.markup in ("$$", "\\[") else "inline"
    return latex.to_mathml(token.content, display) or _formula_source(token)


def _formula_source(token: Token) -> str:
    source = token.content.strip()
    return f'<code class="formula">{escape(source)}</code>' if source else ""


def _render_image(_: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    """A link to the image: loading it would tell its server who reads this, and when."""
    token = tokens[index]
    source = str(token.attrs["src"])
    text = PARSER.renderer.renderInlineAsText(token.children, options, env).strip()
    name = text or unquote(urlsplit(source).path).rpartition("/")[2] or "Image"
    if token.meta["is_in_link"]:
        return escape(name)
    return f'<a class="image-link" href="{escape(source)}">{escape(name)}</a>'


def _render_table_open(_: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    table = PARSER.renderer.renderToken(tokens, index, options, env)
    return f'<div class="table-scroll" role="group" aria-label="Table" tabindex="0">{table}'


def _render_cell_open(_: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    alignment = _ALIGNMENT.match(str(token.attrs.get("style", "")))
    return f'<{token.tag} class="cell--{alignment[1]}">' if alignment else f"<{token.tag}>"


for name, rule in {
    "fence": _render_fence,
    "code_block": _render_fence,
    "math_block": _render_math_block,
    "math_inline": _render_math_inline,
    "image": _render_image,
    "table_open": _render_table_open,
    "table_close": lambda *_: "</table></div>\n",
    "th_open": _render_cell_open,
    "td_open": _render_cell_open,
}.items():
    PARSER.add_render_rule(name, rule)
