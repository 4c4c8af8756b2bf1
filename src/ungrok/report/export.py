"""Tables of the report as Markdown, LaTeX and CSV: what the page offers to copy, and the files under ``report/tables``."""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from ungrok.core.files import write_text
from ungrok.report.format import slug
from ungrok.report.tables.table import Cell, Table

LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$", ">": r"$>$", "|": r"\textbar{}",
    "\N{NO-BREAK SPACE}": "~", "–": "--", "“": "``", "”": "''", "’": "'", "…": r"\ldots{}",
    "−": "$-$", "×": r"$\times$", "÷": r"$\div$", "±": r"$\pm$", "·": r"$\cdot$", "≤": r"$\leq$", "≥": r"$\geq$", "≈": r"$\approx$",
    "∞": r"$\infty$", "→": r"$\to$", "Δ": r"$\Delta$", "∇": r"$\nabla$", "‖": r"$\|$", "∂": r"$\partial$",
    "α": r"$\alpha$", "β": r"$\beta$", "γ": r"$\gamma$", "θ": r"$\theta$", "λ": r"$\lambda$", "ρ": r"$\rho$", "σ": r"$\sigma$",
    "τ": r"$\tau$", "²": "$^2$", "³": "$^3$", "ⁿ": "$^n$",
}  # fmt: skip
"""What stands in LaTeX for a character that means something else there, or that its fonts lack."""

PLAIN = str.maketrans({"−": "-", "\N{NO-BREAK SPACE}": " "})
"""What programs that read CSV take for a minus and a space."""


def text_of(cell: str | Cell) -> str:
    """Return a cell on one line."""
    return cell if isinstance(cell, str) else " ".join(line for line in cell.lines if line)


def heads(table: Table) -> list[str]:
    """Return the head on one line, each column with the group that it belongs to."""
    groups = [text for text, span in table.groups for _ in range(span)] or [""] * len(table.columns)
    return [f"{group}: {column}" if group else column for group, column in zip(groups, table.columns, strict=True)]


def markdown(table: Table) -> str:
    """Return a table as Markdown."""
    rule = ["---" if column < table.keys else "---:" for column in range(len(table.columns))]
    lines = [[cell.replace("|", "\\|") for cell in line] for line in _lines(table)]
    return "".join(f"| {' | '.join(line)} |\n" for line in [lines[0], rule, *lines[1:]])


def latex(table: Table) -> str:
    """Return a table as LaTeX, for documents that use the package booktabs."""
    keys = min(table.keys, len(table.columns))
    layout = "l" * keys + "r" * (len(table.columns) - keys)
    head, *rows = (_latex_line(line) for line in _lines(table))
    top, bottom = [rf"\begin{{tabular}}{{{layout}}}", r"\toprule"], [r"\bottomrule", r"\end{tabular}"]
    return "\n".join([*top, head, r"\midrule", *rows, *bottom]) + "\n"


def _latex_line(cells: Sequence[str]) -> str:
    # A row that opens with a bracket or star would be read as an argument of the line break before it.
    return re.sub(r"^([\[*])", r"{\1}", " & ".join(map(in_latex, cells))) + r" \\"


def in_latex(text: str) -> str:
    """Return text as LaTeX shows it."""
    return "".join(LATEX.get(character, character) for character in text)


def as_csv(table: Table) -> str:
    """Return a table as CSV, with a plain minus."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([cell.translate(PLAIN) for cell in line] for line in _lines(table))
    return text.getvalue()


def _lines(table: Table) -> list[list[str]]:
    """Return the head and the rows as text."""
    return [heads(table), *([text_of(cell) for cell in row] for row in table.rows)]


FORMS: dict[str, Callable[[Table], str]] = {"md": markdown, "tex": latex, "csv": as_csv}
"""By the ending of a file's name: how its text is made."""


INTRO: dict[str, str] = {
    "md": "**{title}.** {how}\n\n",
    "tex": "% needs \\usepackage{{booktabs}}\n% {title}. {how}\n",
    "csv": "",
}
"""By the ending of a file's name: what stands before the table."""


def write_tables(folder: Path, tables: Sequence[Table]) -> None:
    """Write every table in every form, in files named after their titles; what lay in the folder goes."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    seen: Counter[str] = Counter()
    for table in tables:
        name = slug(table.title)
        seen[name.lower()] += 1
        again = seen[name.lower()]
        for form, made in FORMS.items():
            intro = INTRO[form].format(title=table.title, how=table.how)
            write_text(folder / f"{name}{f'-{again}' if again > 1 else ''}.{form}", intro + made(table))
