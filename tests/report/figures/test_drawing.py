"""What figures share: no text is cut off or covered, and colors mean the same everywhere."""

from __future__ import annotations

import io
import re
import warnings

import matplotlib as mpl
import pytest
from fontTools.ttLib import TTFont
from matplotlib.figure import Figure

from ungrok.core.errors import UngrokWarning
from ungrok.report.figures.drawing import COLORS, color, glyphs_named, light_fonts

MANY = [{"kind": "neggrad_plus", "lr": [1e-4, 1e-3]}, *({"kind": "scrub", "name": f"method_{i}"} for i in range(8))]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"unlearn": MANY},
        {"stages": ["pre_grok", "memorized", "step-200", "grokked", "final"], "unlearn": [{"kind": "fisher"}]},
        {"arms": {"slow": {"trajectory": {"batch_size": 32}}, "wide": {"model": {"width": 64}}}},
        {"sweep": {"unlearn": "gradient_ascent", "forget": "class", "points": 5, "seeds": 2}},
    ],
    ids=["plain", "many-methods", "many-stages", "arms", "sweep"],
)
def test_nothing_is_cut_off_covered_or_too_small(study, changes, drawn, legible):
    figures = drawn(study(lambda cell: 40.0 if cell.seed else None, **changes))
    assert len(figures) >= 4
    for name, figure in figures.items():
        legible(name, figure)


def test_a_stage_has_one_color_everywhere(study, drawn):
    view, named = study(), set()
    shades = {view.names.stage(stage): shade for stage, shade in COLORS.items()}
    assert color(view, "grokked") == COLORS["grokked"]
    for name, figure in drawn(view).items():
        for entry in (line for legend in figure.legends for line in legend.get_lines()):
            if entry.get_label() in shades:
                named.add(name)
                assert entry.get_color() == shades[entry.get_label()], name
    assert named == {
        f"{name}-class" for name in ("dose", "survival-pre_grok-grokked", "least-damage-pre_grok-grokked", "frontier")
    }
    others = study(stages=["pre_grok", "step-200", "step-300"], claims={})
    assert len({color(others, stage) for stage in others.stages}) == 3


NAMES = ("$x^$", r"$\frac{1$", "100% of $5", "a^b_{c", "ß" * 50)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_drawn_as_it_is_written(study, drawn, texts, name):
    changes = {"unlearn": [{"kind": "scrub", "name": name}], "forget": [{"kind": "class", "name": name}]}
    figures = drawn(study(lambda _: 40.0, arms={name: {"trajectory": {"batch_size": 32}}}, **changes))
    written = [text.get_text().replace("\n", "") for figure in figures.values() for text, _ in texts(figure)]
    assert any(name.replace(" ", "") in text.replace(" ", "") for text in written)
    assert all(len(f"{file}.png".encode()) < 256 for file in figures)


def test_numbers_on_axes_are_no_formulas(study, drawn, texts):
    figures = drawn(study(lambda _: 40.0, unlearn=[{"kind": "fisher"}]))
    written = [text.get_text() for figure in figures.values() for text, _ in texts(figure)]
    assert "10²" in written
    assert not any("$" in text for text in written)


def test_characters_that_the_font_lacks_are_named_once():
    figure = Figure()
    figure.suptitle("\u76ee\u76ee\u6a19 name")

    def drawn():
        with glyphs_named():
            figure.savefig(io.BytesIO())
            figure.savefig(io.BytesIO())
            warnings.warn("something else", RuntimeWarning, stacklevel=1)

    with pytest.warns() as said:
        drawn()
    assert [warning.category for warning in said] == [RuntimeWarning, UngrokWarning]
    assert str(said[1].message).startswith("figures: the font has no \u6a19, \u76ee, drawn as boxes")


def test_light_fonts_hold_the_letters_and_no_rules():
    def embedded() -> TTFont:
        figure = Figure(figsize=(2, 1))
        figure.text(0.1, 0.5, "first difference −1")
        file = io.BytesIO()
        with mpl.rc_context({"pdf.fonttype": 42, "pdf.compression": 0}):
            figure.savefig(file, format="pdf")
        return TTFont(io.BytesIO(max(re.findall(rb"stream\n(.*?)\nendstream", file.getvalue(), re.DOTALL), key=len)))

    heavy = embedded()
    with light_fonts():
        light = embedded()
    left_out = {"GDEF", "GPOS", "GSUB", *(("cmap", "OS/2", "post") if mpl.__version_info__ >= (3, 11) else ())}
    assert left_out <= set(heavy.keys())
    assert not left_out & set(light.keys())
    assert set(light.keys()) >= {
        "glyf",
        "head",
        "hhea",
        "hmtx",
        "loca",
        "maxp",
        "cvt ",
        "fpgm",
        "prep",
    }  # ISO 32000-1, 9.9
    shapes = [
        {name: font["glyf"][name].compile(font["glyf"]) for name in font.getGlyphOrder()} for font in (heavy, light)
    ]
    letters = set("first difference".replace(" ", "")) - {"f"}
    assert letters <= set(shapes[0])
    assert {shapes[0][name] for name in letters} <= set(shapes[1].values())
