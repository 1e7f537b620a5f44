from __future__ import annotations

import re
from itertools import pairwise
from math import cos, radians, sin
from pathlib import Path

import pytest

from chat.markdown.code import CLASSES

STYLES = Path(__file__).resolve().parents[2] / "static" / "css"
TOKENS = dict(re.findall(r"(--[\w-]+):\s*([^;]+);", (STYLES / "tokens.css").read_text()))
RULES = [
    (re.findall(r"\.(code-\w+)", selectors), dict(re.findall(r"([\w-]+):\s*([^;]+);", body)))
    for selectors, body in re.findall(r"([^{}]+)\{([^{}]*)\}", (STYLES / "components" / "code.css").read_text())
]
COLOURS = {name: rule["color"] for names, rule in RULES for name in names if "color" in rule}
READABLE = 4.5  # WCAG AA


def in_theme(value: str, theme: int) -> str:
    """The oklch() of a value in the light (0) or dark (1) theme."""
    while token := re.fullmatch(r"var\((--[\w-]+)\)", value):
        value = TOKENS[token[1]]
    found = re.findall(r"oklch\([^)]*\)", value)
    return str(found[theme if len(found) > 1 else 0])


def luminance(oklch: str) -> float:
    lightness, chroma, hue = (float(number) for number in oklch[6:-1].split())
    a, b = chroma * cos(radians(hue)), chroma * sin(radians(hue))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    red = 4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short
    green = -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short
    blue = -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short
    red, green, blue = (min(max(part, 0), 1) for part in (red, green, blue))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_counted_as_the_standard_does() -> None:
    assert contrast("oklch(0 0 0)", "oklch(1 0 0)") == pytest.approx(21, abs=0.01)
    grey = contrast("oklch(0.5693 0 0)", "oklch(1 0 0)")  # #777777
    assert grey == pytest.approx(4.48, abs=0.02)
    assert all(after > before for before, after in pairwise(luminance(f"oklch({i / 10} 0 0)") for i in range(11)))


@pytest.mark.parametrize("name", sorted(set(CLASSES.values())))
@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_coloured_code_can_be_read(name: str, theme: int) -> None:
    background = in_theme("var(--color-code)", theme)
    assert contrast(in_theme(COLOURS[name], theme), background) >= READABLE


def test_no_colour_is_left_over() -> None:
    assert set(COLOURS) == set(CLASSES.values())
