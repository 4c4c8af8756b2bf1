"""Tables as Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess

import pytest

from ungrok.report.attacks import Attacks
from ungrok.report.export import FORMS, as_csv, heads, in_latex, latex, markdown, text_of, write_tables
from ungrok.report.tables.lasting import lasting_table
from ungrok.report.tables.stress import stress_tables
from ungrok.report.tables.table import Cell, Table
from ungrok.report.tables.verdicts import all_verdicts, headline

TABLE = Table(
    "Headline, at UA ≤ 0.1", "Each cell holds 95 % of a_b.", ["method", "updates", "RA", "TA"],
    [
        ["scrub|2", Cell(("refuted", "−1.71", "[−1.92, −1.50]", "5.5× more"), "refuted"), "0.9", "0.8"],
        ['fisher "a", b', Cell(("0.912", "± 0.010")), "–", Cell(("inconclusive",), "inconclusive")],
    ],
    groups=[("", 1), ("efficiency", 1), ("collateral & more", 2)],
)  # fmt: skip


def test_a_cell_is_one_line():
    assert [[text_of(cell) for cell in row] for row in TABLE.rows] == [
        ["scrub|2", "refuted −1.71 [−1.92, −1.50] 5.5× more", "0.9", "0.8"],
        ['fisher "a", b', "0.912 ± 0.010", "–", "inconclusive"],
    ]


def test_columns_carry_their_group():
    assert heads(TABLE) == ["method", "efficiency: updates", "collateral & more: RA", "collateral & more: TA"]
    assert heads(Table("t", "h", ["a", "b"], [])) == ["a", "b"]


def test_markdown():
    assert markdown(TABLE) == (
        "| method | efficiency: updates | collateral & more: RA | collateral & more: TA |\n"
        "| --- | ---: | ---: | ---: |\n"
        "| scrub\\|2 | refuted −1.71 [−1.92, −1.50] 5.5× more | 0.9 | 0.8 |\n"
        '| fisher "a", b | 0.912 ± 0.010 | – | inconclusive |\n'
    )


def test_latex():
    assert latex(TABLE) == (
        "\\begin{tabular}{lrrr}\n\\toprule\n"
        "method & efficiency: updates & collateral \\& more: RA & collateral \\& more: TA \\\\\n\\midrule\n"
        "scrub\\textbar{}2 & refuted $-$1.71 [$-$1.92, $-$1.50] 5.5$\\times$ more & 0.9 & 0.8 \\\\\n"
        "fisher \"a\", b & 0.912 $\\pm$ 0.010 & -- & inconclusive \\\\\n"
        "\\bottomrule\n\\end{tabular}\n"
    )  # fmt: skip


def test_no_row_opens_with_what_latex_takes_for_an_argument():
    table = Table("t", "h", ["a", "b"], [["[0, 1]", "[2]"], ["*", "1"]])
    assert latex(table).splitlines()[4:6] == [r"{[}0, 1] & [2] \\", r"{*} & 1 \\"]


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        (r"50 % of {a}_b & c#1 $x \y", r"50 \% of \{a\}\_b \& c\#1 \$x \textbackslash{}y"),
        ("~^<>|", r"\textasciitilde{}\textasciicircum{}$<$$>$\textbar{}"),
        ("UA* → 2ⁿ ≥ −∞", r"UA* $\to$ 2$^n$ $\geq$ $-$$\infty$"),
    ],
)
def test_what_latex_would_misread_is_escaped(text, escaped):
    assert in_latex(text) == escaped


def test_csv_is_read_back_with_a_plain_minus():
    assert list(csv.reader(io.StringIO(as_csv(TABLE)))) == [
        ["method", "efficiency: updates", "collateral & more: RA", "collateral & more: TA"],
        ["scrub|2", "refuted -1.71 [-1.92, -1.50] 5.5× more", "0.9", "0.8"],
        ['fisher "a", b', "0.912 ± 0.010", "–", "inconclusive"],
    ]


def test_files_are_named_after_titles_and_old_ones_go(tmp_path):
    folder = tmp_path / "tables"
    write_tables(folder, [Table("gone", "", ["a"], [])])
    write_tables(folder, [TABLE, TABLE])
    names = ["Headline-at-UA-0.1", "Headline-at-UA-0.1-2"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        f"{name}.{form}" for name in names for form in FORMS
    )
    intros = {"md": "**Headline, at UA ≤ 0.1.** Each cell holds 95 % of a_b.\n\n", "csv": "",
              "tex": "% needs \\usepackage{booktabs}\n% Headline, at UA ≤ 0.1. Each cell holds 95 % of a_b.\n"}  # fmt: skip
    for form, made in FORMS.items():
        assert (folder / f"{names[0]}.{form}").read_text(encoding="utf-8") == intros[form] + made(TABLE)


TEX = shutil.which("pdflatex")


@pytest.mark.skipif(
    TEX is None, reason="needs LaTeX: Debian's packages texlive-latex-base and texlive-latex-recommended"
)
def test_tables_are_set_by_latex(attacked_study, tmp_path):
    view = attacked_study(unlearn=[{"kind": "gradient_ascent", "name": r"100 % a_b & {c} \\ #1 ~^ $x"}])
    tables = [
        *stress_tables(Attacks(view)),
        *lasting_table(view),
        *headline(view),
        *all_verdicts(view, "later stage"),
    ]
    write_tables(tmp_path / "tables", tables)
    files = sorted(path.name for path in (tmp_path / "tables").glob("*.tex"))
    assert len(files) == len(tables) > 8
    body = "".join(f"\\noindent\\resizebox{{\\linewidth}}{{!}}{{\\input{{tables/{name}}}}}\n\n" for name in files)
    text = f"\\documentclass{{article}}\\usepackage{{booktabs,graphicx}}\\begin{{document}}\n{body}\\end{{document}}\n"
    (tmp_path / "all.tex").write_text(text, encoding="utf-8")
    command = [TEX, "-halt-on-error", "-interaction=nonstopmode", "all.tex"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120, check=False)
    assert said.returncode == 0, said.stdout[-2000:].decode(errors="replace")
    assert (tmp_path / "all.pdf").stat().st_size > 20_000
