"""Blocks of tokens to HTML that is safe to put into a page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Any
from urllib.parse import unquote, urlsplit

import nh3
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from . import latex
from .code import CLASSES, colour, file_name, language
from .mend import mended
from .parser import PARSER, References

MAX_INLINE = 20_000
LONG_CODE = 40
"""A block of more lines is folded."""

_TASK = re.compile(r"\[([ xX])\] ")
_ALIGNMENT = re.compile(r"text-align:(left|center|right)")
_BLOCK_TAGS = frozenset({"blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "table", "ul"})
_OTHER_TAGS = frozenset(
    {
        "a",
        "br",
        "button",
        "code",
        "copy-button",
        "div",
        "download-button",
        "em",
        "fold-button",
        "hr",
        "li",
        "pre",
        "s",
        "span",
        "strong",
    }
    | {"table-copy", "tbody", "td", "th", "thead", "tr", "wrap-button"}
)
_CELL_CLASSES = {"cell--left", "cell--center", "cell--right"}

# The last hand on everything that goes to a page; names exactly what the functions below make, and no more.
_SAFE = nh3.Cleaner(
    tags=set(_BLOCK_TAGS | _OTHER_TAGS | latex.TAGS),
    attributes={"a": {"href", "title"}, "ol": {"start"}, "div": {"data-file", "data-language"}}
    | {tag: set(latex.ATTRIBUTES) for tag in latex.TAGS},
    tag_attribute_values={tag: {"dir": {"auto"}} for tag in _BLOCK_TAGS}
    | {
        "div": {"role": {"group"}, "aria-label": {"Table"}, "tabindex": {"0"}},
        "pre": {"dir": {"ltr"}, "tabindex": {"0"}},
        "button": {"type": {"button"}, "value": {"csv", "markdown"}},
        "wrap-button": {"role": {"button"}, "tabindex": {"0"}},
        "fold-button": {"role": {"button"}, "tabindex": {"0"}},
    },
    allowed_classes={
        "a": {"image-link"},
        "code": {"formula"},
        "div": {"code", "code__header", "formula", "table", "table-scroll"},
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
    return _SAFE.clean(_HTML.render(prepared, PARSER.options, {}))


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
    if len(content) > MAX_INLINE:  # no prose; parsed again at each new word it would take seconds of each minute
        return escape(content).replace("\n", "<br>\n")
    env = {"references": references}
    token = Token("inline", "", 0, content=content, children=[])
    PARSER.core.process(StateCore("", PARSER, env, [token]))
    children = token.children or []
    num_links = 0
    for child in children:
        num_links += child.nesting if child.tag == "a" else 0
        if child.type == "image":
            child.meta["is_in_link"] = num_links > 0
    return _HTML.renderInline(children, PARSER.options, env)


class _Html(RendererHTML):
    """Each method makes the HTML of the kind of token it is named after."""

    def fence(self, tokens: Sequence[Token], idx: int, _options: Any, _env: Any) -> str:
        token = tokens[idx]
        lexer_name, _ = language(token.info)
        is_plain = token.meta.get("is_plain", False)
        return _code_block(escape(token.content) if is_plain else colour(token.content, lexer_name), token.info)

    def code_block(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return self.fence(tokens, idx, options, env)

    def math_block(self, tokens: Sequence[Token], idx: int, _options: Any, _env: Any) -> str:
        token = tokens[idx]
        mathml = latex.to_mathml(token.content, "block") if token.meta["has_ended"] else None
        return f'<div class="formula">{mathml or _formula_source(token)}</div>\n'

    def math_inline(self, tokens: Sequence[Token], idx: int, _options: Any, _env: Any) -> str:
        token = tokens[idx]
        display = "block" if token.markup in ("$$", "\\[") else "inline"
        return latex.to_mathml(token.content, display) or _formula_source(token)

    def image(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        """A link to the image: loading it would tell its server who reads this, and when."""
        token = tokens[idx]
        source = str(token.attrs["src"])
        text = self.renderInlineAsText(token.children, options, env).strip()
        name = text or unquote(urlsplit(source).path).rpartition("/")[2] or "Image"
        if token.meta["is_in_link"]:
            return escape(name)
        return f'<a class="image-link" href="{escape(source)}">{escape(name)}</a>'

    def table_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        table = self.renderToken(tokens, idx, options, env)
        return (
            f'<div class="table">{_header("Table", _TABLE_BUTTONS)}'
            f'<div class="table-scroll" role="group" aria-label="Table" tabindex="0">{table}'
        )

    def table_close(self, *_: Any) -> str:
        return "</table></div></div>\n"

    def th_open(self, tokens: Sequence[Token], idx: int, _options: Any, _env: Any) -> str:
        token = tokens[idx]
        alignment = _ALIGNMENT.match(str(token.attrs.get("style", "")))
        return f'<{token.tag} class="cell--{alignment[1]}">' if alignment else f"<{token.tag}>"

    td_open = th_open


# What they do is in static/js; the markup of a block stays the same whatever is pressed.
_CODE_BUTTONS = (
    '<copy-button><button type="button">Copy</button></copy-button>'
    '<download-button><button type="button">Download</button></download-button>'
    '<wrap-button role="button" tabindex="0">Wrap</wrap-button>'
)
_FOLD = '<fold-button role="button" tabindex="0"></fold-button>'
_TABLE_BUTTONS = (
    '<table-copy><button type="button" value="csv">Copy as CSV</button>'
    '<button type="button" value="markdown">Copy as Markdown</button></table-copy>'
)


def _code_block(coloured: str, info: str) -> str:
    lexer_name, shown = language(info)
    is_long = coloured.rstrip("\n").count("\n") >= LONG_CODE
    return (
        f'<div class="code" data-language="{escape(lexer_name or "text")}" data-file="{escape(file_name(lexer_name))}">'
        f"{_header(escape(shown), _CODE_BUTTONS)}"
        f'<pre dir="ltr" tabindex="0"><code>{coloured}</code></pre>{_FOLD if is_long else ""}</div>\n'
    )


def _header(name: str, buttons: str) -> str:
    return f'<div class="code__header"><span class="code__language">{name}</span>{buttons}</div>'


def _formula_source(token: Token) -> str:
    source = token.content.strip()
    return f'<code class="formula">{escape(source)}</code>' if source else ""


_HTML = _Html(PARSER)
