from __future__ import annotations

import html
import re

import html5lib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.markdown import plain, render, render_blocks, title_from
from chat.markdown.code import CLASSES, colour, language
from chat.text import clean_text

from .hostile import ADDRESS_PLACES, ADDRESSES, HTML, HTML_PLACES
from .safety import faults


def words(markup: str) -> str:
    root = html5lib.parseFragment(markup, treebuilder="etree")
    return "".join(root.itertext())


# Safety


@pytest.mark.parametrize("place", HTML_PLACES)
def test_html_stays_text_wherever_it_stands(place: str) -> None:
    for payload in HTML:
        assert faults(render(place.replace("{}", payload).replace("{{", "{").replace("}}", "}"))) == [], payload


@pytest.mark.parametrize("place", ADDRESS_PLACES)
def test_no_address_but_web_and_mail_becomes_a_link(place: str) -> None:
    for payload in ADDRESSES:
        assert faults(render(place.replace("{}", payload).replace("{{", "{").replace("}}", "}"))) == [], payload


@given(st.text(alphabet=st.sampled_from("<>&\"'`=/:;()[]{}!$\\^_*|~#-+.\n ahrefscpt"), max_size=80))
def test_no_mixture_of_marks_breaks_out(text: str) -> None:
    assert faults(render(text)) == []


def test_the_checker_itself_finds_faults() -> None:
    for markup in (
        "<script>1</script>",
        "<p onclick=1>x</p>",
        '<a href="https://a.b">x</a>',
        "<!-- x -->",
        "<img src=x>",
    ):
        assert faults(markup)


@pytest.mark.parametrize(
    "text",
    [
        "![cat](https://example.com/cat.png)",
        "![cat][r]\n\n[r]: https://example.com/cat.png",
        '![cat](<https://example.com/cat.png> "a cat")',
    ],
)
def test_an_image_is_a_link_and_never_loaded(text: str) -> None:
    markup = render(text)
    assert '<a class="image-link" href="https://example.com/cat.png"' in markup
    assert ">cat</a>" in markup
    assert "<img" not in markup


def test_an_image_without_words_is_named_after_its_file() -> None:
    assert ">my cat.png</a>" in render("![](https://example.com/my%20cat.png?x=1)")
    assert ">Image</a>" in render("![](https://example.com/)")


def test_an_image_within_a_link_leaves_one_link() -> None:
    markup = render("[![cat](https://example.com/cat.png)](https://example.com/)")
    assert markup.count("<a ") == 1
    assert 'href="https://example.com/"' in markup


def test_links_open_apart_and_tell_nothing() -> None:
    assert render("[x](https://example.com/)") == (
        '<p dir="auto"><a href="https://example.com/" target="_blank" rel="noopener noreferrer nofollow">x</a></p>\n'
    )


# Text


def test_emphasis_lists_quotes_and_headings() -> None:
    markup = render("# A\n\n**b** *c* ~~d~~ `e`\n\n- f\n- g\n\n3. h\n\n> i\n\n---\n")
    assert markup.split("\n")[:2] == [
        '<h1 dir="auto">A</h1>',
        '<p dir="auto"><strong>b</strong> <em>c</em> <s>d</s> <code>e</code></p>',
    ]
    assert '<ul dir="auto">\n<li>f</li>\n<li>g</li>\n</ul>' in markup
    assert '<ol start="3" dir="auto">' in markup
    assert '<blockquote dir="auto">\n<p>i</p>\n</blockquote>\n<hr>' in markup


def test_a_single_line_break_of_a_reply_is_kept() -> None:
    assert render("a\nb") == '<p dir="auto">a<br>\nb</p>\n'


def test_K3_a_table_scrolls_in_a_container_of_its_own_and_can_be_copied() -> None:
    markup = render("| a | b |\n| --- | --: |\n| 1 | 2 |")
    assert '<div class="table-scroll" role="group" aria-label="Table" tabindex="0"><table dir="auto">' in markup
    assert markup.startswith('<div class="table"><div class="code__header"><span class="code__language">Table</span>')
    assert re.findall("<button[^>]*>([^<]*)", markup) == ["Copy as CSV", "Copy as Markdown"]
    assert '<td class="cell--right">2</td>' in markup
    assert "style=" not in markup


def test_tasks_show_their_state() -> None:
    assert words(render("- [ ] a\n- [x] b\n- c [ ] d")).split("\n")[1:4] == ["☐ a", "☑ b", "c [ ] d"]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("see https://example.com/a?b=c.", "https://example.com/a?b=c"),
        ("(https://example.com/a_(b))", "https://example.com/a_(b)"),
        ("**https://example.com**", "https://example.com"),
        ("见https://example.com/路，然后", "https://example.com/"),
        ("参考https://example.com。", "https://example.com"),
        ("| https://example.com | b |\n|-|-|", "https://example.com"),
    ],
)
def test_a_bare_address_becomes_a_link_without_the_sentence_around_it(text: str, address: str) -> None:
    found = re.findall(r'href="([^"]*)"', render(text))
    assert [html.unescape(href) for href in found] == [address]


@pytest.mark.parametrize("text", ["xhttps://example.com", "`https://example.com`", "https://", "a: b", "http:x"])
def test_what_is_no_address_stays_text(text: str) -> None:
    assert "<a" not in render(text)


# Code


def test_K1_a_code_block_has_its_language_and_buttons_to_copy_download_and_wrap() -> None:
    markup = render("```python\nx = 1\n```")
    assert markup.startswith(
        '<div class="code" data-language="python" data-file="code.py"><div class="code__header">'
        '<span class="code__language">Python</span><copy-button><button type="button">Copy</button></copy-button>'
        '<download-button><button type="button">Download</button></download-button>'
        '<wrap-button role="button" tabindex="0">Wrap</wrap-button></div><pre dir="ltr" tabindex="0"><code>'
    )
    assert "style=" not in markup


@pytest.mark.parametrize(
    ("info", "name"),
    [
        ("py", "code.py"),
        ("c++", "code.cpp"),
        ("shell", "code.sh"),
        ("docker", "code.docker"),
        ("", "code.txt"),
        ("nothing/../known", "code.txt"),
        ("typescript", "code.ts"),
        ("json5", "code.json"),
    ],
)
def test_K1_a_downloaded_file_is_named_after_its_language(info: str, name: str) -> None:
    assert re.findall('data-file="([^"]*)"', render(f"```{info}\nx\n```")) == [name]


@pytest.mark.parametrize(
    ("info", "shown"),
    [
        ("py", "Python"),
        ("ts", "TypeScript"),
        ("bash", "Shell"),
        ("sh title=x", "Shell"),
        ("c++", "C++"),
        ("C#", "C#"),
        ("{r}", "R"),
        ("dockerfile", "Dockerfile"),
        ("", "Text"),
        ("text", "Text"),
        ("brainfuck", "brainfuck"),
        ("x" * 500, "x" * 30),
        ("<script>", "script"),
    ],
)
def test_languages_have_names_for_people(info: str, shown: str) -> None:
    assert language(info)[1] == shown


@pytest.mark.parametrize("lexer_name", ["python", "js", "bash", "html", "json", "diff", "sql", "c", "rust", ""])
@given(code=st.text(alphabet=st.sampled_from("ab1 \t\n\"'#<>&/*={}()-+$\\`:\u00e9你😀\x0c\u2028"), max_size=60))
def test_colours_never_change_the_text(lexer_name: str, code: str) -> None:
    coloured = colour(code, lexer_name)
    assert html.unescape(re.sub(r"</?span[^>]*>", "", coloured)) == code


def test_code_too_long_to_colour_is_shown_plain() -> None:
    assert "<span" not in colour("x = 1\n" * 10_000, "python")
    assert "<span" not in colour("x = 1; " * 1_000, "python")
    assert "<span" not in colour("x = 1\n" + " \n" * 1_000, "python")


def test_only_known_classes_colour_code() -> None:
    source = "class A:\n    '''d'''\n    @p\n    def f(self): return [1, None, 'x'] # c\n"
    assert set(re.findall(r'class="(.*?)"', colour(source, "python"))) <= set(CLASSES.values())


# Mathematics


@pytest.mark.parametrize("text", ["$x^2$", "\\(x^2\\)", "其中$x^2$是", "**$x^2$**", "- $x^2$", "($x^2$)"])
def test_mathematics_in_a_line(text: str) -> None:
    assert '<math display="inline"><mrow><msup><mi>x</mi><mn>2</mn></msup></mrow></math>' in render(text)


@pytest.mark.parametrize(
    "text",
    [
        "$$x^2$$",
        "$$\nx^2\n$$",
        "\\[x^2\\]",
        "\\[\nx^2\n\\]",
        "So:\n$$\nx^2\n$$\nand",
        "- a\n  $$\n  x^2\n  $$",
        "> \\[\n> x^2\n> \\]",
        "a $$x^2$$ b",
    ],
)
def test_mathematics_on_its_own(text: str) -> None:
    assert '<math display="block"><mrow><msup><mi>x</mi><mn>2</mn></msup></mrow></math>' in render(text)


@pytest.mark.parametrize(
    "text",
    [
        "$5 and $6",
        "from $5 to $10, or US$3",
        "$5–$10",
        "it costs $5 and 10$ more",
        "$HOME/bin:$PATH",
        "`$a` and $b",
        "\\$x$",
        "$ x $",
        "$$",
        "a $$ b",
        "$1,000.50 for rent, $20 for food",
        "\\\\(a\\\\)",
    ],
)
def test_prices_and_variables_are_not_mathematics(text: str) -> None:
    assert "<math" not in render(text)


def test_environments_models_use_are_drawn() -> None:
    for name in ("align", "align*", "aligned", "gather", "gathered", "cases", "dcases", "pmatrix", "split", "equation"):
        markup = render(f"$$\n\\begin{{{name}}} a &= b \\\\ c &= d \\end{{{name}}}\n$$")
        assert "<math" in markup, name
        assert "<mi>&amp;</mi>" not in markup or name == "equation", name
    assert "<mtable" in render("\\begin{align}\na &= b\n\\end{align}")


def test_a_formula_that_cannot_be_drawn_is_shown_as_its_source() -> None:
    assert render("$\\left( a$") == '<p dir="auto"><code class="formula">\\left( a</code></p>\n'


def test_formulas_that_could_hurt_are_not_drawn() -> None:
    for source in ("\\def\\a{\\a\\a}\\a", "\\newcommand{\\a}{x}\\a", "\\href{https://a.b}{x}", "{" * 900, "x" * 5_000):
        assert "<math" not in render(f"$$\n{source}\n$$")


def test_a_formula_cannot_reach_beyond_its_place() -> None:
    for size in ("-50em", "999em", "1000pt", "99cm"):
        assert size not in render(f"$\\hspace{{{size}}} \\rule{{{size}}}{{{size}}} \\raise{size}{{x}}$")


# Bounds


@pytest.mark.parametrize(
    "unit",
    [
        *("`", "``a", "*", "**a ", "_a*", "~~a", "*a_ ", "a**b", "\\", "\\\n", "&", "&#", "<", "<a"),
        *("[", "![", "]", "](", "[a][", "[a](", "[a]: ", "[a]:b\n", "![a](https://b.c)", "[*a](b)*", "("),
        *("http://", "https://a.b/)", "<http://a.b>", "a@b.c "),
        *("$", "$a", "$$a ", "\\(", "\\[", "$$\n", "$$a\n", "\\[\n", "\\begin{align}\n"),
        *("> ", "- ", "1. ", "# ", "> a\n", "- a\n", "-\n", "=\n", "a\n-\n", "```\n", "~~~a\n"),
        *("|", "|-", "a|", "|a|\n|-|\n", "a\n", "a\n\n", "\t", " ", "你好"),
    ],
)
def test_a_long_text_of_nothing_but_marks_ends(unit: str) -> None:
    assert faults(render((unit * 5_000)[:5_000])) == []


def test_a_paragraph_as_long_as_a_book_is_shown_without_marks() -> None:
    assert render("**a** <b>\n" * 5_000).startswith('<p dir="auto">**a** &lt;b&gt;<br>\n**a**')


def test_deep_nesting_is_bounded() -> None:
    markup = render(">" * 10_000 + " a\n\n" + "- " * 5_000 + "b\n")
    assert markup.count("<blockquote") < 100
    assert markup.count("<ul") < 100


@given(st.text())
def test_any_text_can_be_rendered(text: str) -> None:
    assert "".join(render_blocks(text)) == render(text)


# Words


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("How do I **boil** an [egg](https://example.com)?", "How do I boil an egg?"),
        ("# Heading\n\ntext", "Heading"),
        ("- [ ] buy `milk`", "buy milk"),
        ("```python\n\nprint(1)\n```", "print(1)"),
        ("```\nx\n```\nWhy does this fail?", "Why does this fail?"),
        ("a\nb\t c", "a b c"),
        ("![](https://example.com/x.png)", "![](https://example.com/x.png)"),
        ("---", "---"),
        ("  \n ", "New chat"),
        ("\u202etxt\u2066x", "txtx"),
        ("$x^2$ is what?", "x^2 is what?"),
        ("$$\nx^2\n$$", "x^2"),
        ("word " * 20, "word word word word word word word word word word word word…"),
        ("x" * 100, "x" * 59 + "…"),
        ("写" * 100, "写" * 29 + "…"),
        (
            "Is it a good question, and is it answerable, by anybody, ever?",
            "Is it a good question, and is it answerable, by anybody…",
        ),
    ],
)
def test_a_title_is_the_first_words_without_marks(text: str, title: str) -> None:
    assert title_from(text) == title


@given(st.text())
def test_a_title_is_one_short_line(text: str) -> None:
    title = title_from(text)
    assert title.strip()
    assert "\n" not in title


def test_a_title_of_more_accents_than_letters_is_short_too() -> None:
    assert title_from("e" + "\u0301" * 300) == "e…"
    assert len(title_from("e\u0301\u0302\u0303\u0304" * 60)) <= 151


def test_an_emoji_is_not_cut_in_two() -> None:
    family = "👨‍👩‍👧‍👦"
    assert title_from(family * 30).removesuffix("…").replace(family, "") == ""


def test_plain_words_have_a_line_each() -> None:
    assert plain("# A\n\n- **b**\n- c\n\n| d | e |\n|-|-|\n| f | g |\n\n```\nh\n```\n") == "A\nb\nc\nd\ne\nf\ng\nh"


def test_clean_text_can_be_stored() -> None:
    assert clean_text("a\x00b\ud800c\udfffd\r\ne\rf\n😀") == "abcd\ne\nf\n😀"


@given(st.text(alphabet=st.characters()))
def test_clean_text_is_clean_at_once(text: str) -> None:
    cleaned = clean_text(text)
    assert clean_text(cleaned) == cleaned
    cleaned.encode()
