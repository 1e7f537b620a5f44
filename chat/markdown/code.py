"""Source code to coloured HTML: which languages, what they are called, which classes their words get."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from html import escape
from time import thread_time

from pygments.lexers import LEXERS, get_lexer_by_name
from pygments.token import Token, _TokenType

MAX_COLOURED = 30_000
MAX_COLOURING_S = 0.5

# The much used ones: each lexer more is one more set of regular expressions to trust with hostile text.
_LANGUAGES = frozenset(
    {
        "Awk",
        "Bash",
        "Batchfile",
        "C",
        "C#",
        "C++",
        "CMake",
        "CSS",
        "CUDA",
        "Clojure",
        "Common Lisp",
        "Dart",
        "Diff",
        "Django/Jinja",
        "Docker",
        "Elixir",
        "Erlang",
        "F#",
        "Fortran",
        "GAS",
        "GLSL",
        "Go",
        "GraphQL",
        "Groovy",
        "HTML",
        "HTTP",
        "Haskell",
        "INI",
        "JSON",
        "JSX",
        "Java",
        "JavaScript",
        "Julia",
        "Kotlin",
        "LLVM",
        "LessCss",
        "Lua",
        "Makefile",
        "Markdown",
        "Matlab",
        "NASM",
        "Nginx configuration file",
        "Nix",
        "OCaml",
        "Objective-C",
        "PHP",
        "Perl",
        "PostgreSQL SQL dialect",
        "PowerShell",
        "Prolog",
        "Properties",
        "Protocol Buffer",
        "Python",
        "Python console session",
        "Racket",
        "Ruby",
        "Rust",
        "S",
        "SCSS",
        "SQL",
        "Scala",
        "Scheme",
        "Solidity",
        "Swift",
        "TOML",
        "TSX",
        "TeX",
        "Terraform",
        "TypeScript",
        "VimL",
        "XML",
        "YAML",
        "Zig",
        "vhdl",
    }
)
_ALIASES = {alias: name for _, name, aliases, _, _ in LEXERS.values() if name in _LANGUAGES for alias in aliases}
_ENDINGS = {
    alias: pattern.removeprefix("*")
    for _, name, aliases, patterns, _ in LEXERS.values()
    if name in _LANGUAGES and (pattern := next(filter(re.compile(r"\*\.\w+").fullmatch, patterns), ""))
    for alias in aliases
} | {"mermaid": ".mmd"}
_SHOWN = {
    "Bash": "Shell",
    "Docker": "Dockerfile",
    "Nginx configuration file": "Nginx",
    "PostgreSQL SQL dialect": "PostgreSQL",
    "Python console session": "Python console",
    "Batchfile": "Batch file",
    "LessCss": "Less",
    "TeX": "LaTeX",
    "VimL": "Vim script",
    "vhdl": "VHDL",
    "S": "R",
    "Matlab": "MATLAB",
    "Django/Jinja": "Jinja",
}
_OTHERS = {
    "console": "bash",
    "containerfile": "dockerfile",
    "json5": "json",
    "jsonc": "json",
    "mjs": "js",
    "mmd": "mermaid",
    "py3": "python",
    "shell": "bash",
    "svelte": "html",
    "svg": "xml",
    "vue": "html",
    "zsh": "bash",
}

_UNCOLOURED = {"mermaid": "Mermaid"}

# A kind of token that is not here has the class of the next more general kind.
CLASSES: dict[_TokenType, str] = {
    Token.Comment.Preproc: "code-keyword",
    Token.Comment: "code-comment",
    Token.Keyword.Constant: "code-number",
    Token.Keyword.Type: "code-type",
    Token.Keyword: "code-keyword",
    Token.Operator.Word: "code-keyword",
    Token.Literal.String: "code-string",
    Token.Literal.Number: "code-number",
    Token.Literal: "code-number",
    Token.Name.Function: "code-function",
    Token.Name.Class: "code-type",
    Token.Name.Exception: "code-type",
    Token.Name.Namespace: "code-type",
    Token.Name.Builtin: "code-builtin",
    Token.Name.Decorator: "code-builtin",
    Token.Name.Tag: "code-keyword",
    Token.Name.Attribute: "code-function",
    Token.Name.Variable: "code-variable",
    Token.Name.Constant: "code-number",
    Token.Generic.Heading: "code-comment",
    Token.Generic.Subheading: "code-comment",
    Token.Generic.Prompt: "code-comment",
    Token.Generic.Inserted: "code-inserted",
    Token.Generic.Deleted: "code-deleted",
}

# Very long lines and very many empty ones: what takes some lexers quadratic time within a single step.
_SLOW = re.compile(r"[^\n]{1000}|\n(?:[ \t]*\n){50}")
_WORD = re.compile(r"[\w#+.\-/]+")


def language(info: str) -> tuple[str, str]:
    """The words after an opening fence, the lexer's name ("" for plain text) and the name to show."""
    found = _WORD.search(info)
    word = found[0] if found else ""
    alias = word.lower()
    alias = _OTHERS.get(alias, alias)
    name = _ALIASES.get(alias)
    if name:
        return alias, _SHOWN.get(name, name)
    if alias in _UNCOLOURED:
        return alias, _UNCOLOURED[alias]
    return "", word[:30] if alias not in ("", "text", "txt", "plain", "plaintext") else "Text"


def file_name(lexer_name: str) -> str:
    """What to call a file with code in that language."""
    return f"code{_ENDINGS.get(lexer_name, '.txt')}"


@lru_cache(maxsize=64)
def colour(code: str, lexer_name: str) -> str:
    """Code and a name given by `language`, HTML with the same text; plain where colours would cost too much."""
    if lexer_name not in _ALIASES or len(code) > MAX_COLOURED or _SLOW.search(code):
        return escape(code)
    runs = _runs(code, lexer_name)
    if "".join(value for _, value in runs) != code:
        return escape(code)
    return "".join(f'<span class="{name}">{escape(value)}</span>' if name else escape(value) for name, value in runs)


def _runs(code: str, lexer_name: str) -> list[tuple[str | None, str]]:
    """The code cut where its colour changes, and the class of each piece; cut short when the time is up."""
    lexer = get_lexer_by_name(lexer_name, stripnl=False, ensurenl=False)
    # Some lexers take quadratic time for text made for it. CPU time, so that a busy machine makes no difference.
    deadline = thread_time() + MAX_COLOURING_S
    runs: list[tuple[str | None, str]] = []
    for kind, value in lexer.get_tokens(code):
        name = _class(kind)
        if runs and (runs[-1][0] == name or value.isspace()):
            runs[-1] = runs[-1][0], runs[-1][1] + value
        else:
            runs.append((name, value))
        if thread_time() > deadline:
            break
    return runs


@cache
def _class(kind: _TokenType) -> str | None:
    return next((CLASSES[general] for general in reversed(kind.split()) if general in CLASSES), None)
