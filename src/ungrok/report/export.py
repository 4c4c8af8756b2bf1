"""Tables of the report as Markdown, LaTeX and CSV: what the page offers to copy, and the files under ``report/tables``."""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ungrok.core.files import write_text
from ungrok.report.format import slug
from ungrok.report.tables.table import Cell, Table

LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "\N{NO-BREAK SPACE}": "~", "–": "--", "“": "``", "”": "''", "’": "'", "…": r"\ldots{}",
    "−": "$-$", "×": r"$\times$", "±": r"$\pm$", "·": r"$\cdot$", "≤": r"$\leq$", "≥": r"$\geq$", "≈": r"$\approx$", "≠": r"$\neq$",
    "∞": r"$\infty$", "→": r"$\rightarrow$", "✓": r"$\checkmark$", "∇": r"$\nabla$",
    "α": r"$\alpha$", "β": r"$\beta$", "γ": r"$\gamma$", "θ": r"$\theta$", "ρ": r"$\rho$", "σ": r"$\sigma$", "τ": r"$\tau$",
    "²": r"$^2$", "³": r"$^3$", "ⁿ": r"$^n$",
}  # fmt: skip
"""What stands in LaTeX for a character that means something else there, or that its fonts lack."""

PLAIN = str.maketrans({"−": "-", "\N{NO-BREAK SPACE}": " "})
"""What programs that read CSV take for a minus and a space."""


def text_of(cell: str | Cell) -> str:
    """Return a cell on one line; a colon stands after a verdict where more follows."""
    if isinstance(cell, str):
        return cell
    first, *more = cell.lines
    return " ".join([f"{first}:" if cell.tone and more else first, *more])


def heads(table: Table) -> list[str]:
    """Return the head on one line, each column with the group that it belongs to."""
    groups = [text for text, span in table.groups for _ in range(span)] or [""] * len(table.columns)
    return [f"{group}: {column}" if group else column for group, column in zip(groups, table.columns, strict=True)]


def markdown(table: Table) -> str:
    """Return a table as Markdown, below its title and how to read it."""
    rows = [[_in_markdown(text_of(cell)) for cell in row] for row in table.rows]
    rule = [":--" if column < table.keys else "--:" for column in range(len(table.columns))]
    lines = [list(map(_in_markdown, heads(table))), rule, *rows]
    body = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return f"**{_in_markdown(table.title)}.** {_in_markdown(table.how)}\n\n{body}"


def _in_markdown(text: str) -> str:
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", " ".join(text.split(" ")).replace("\n", " "))


def latex(table: Table) -> str:
    """Return a table as LaTeX, for documents that use the package booktabs."""
    keys = min(table.keys, len(table.columns))
    layout = "l" * keys + "r" * (len(table.columns) - keys)
    rows = [" & ".join(in_latex(text_of(cell)) for cell in row) + r" \\" for row in table.rows]
    lines = [
        r"% needs \usepackage{booktabs}", r"\begin{table}", r"\centering",
        rf"\caption{{{in_latex(table.title)}. {in_latex(table.how)}}}", rf"\begin{{tabular}}{{{layout}}}", r"\toprule",
        *_groups(table), " & ".join(map(in_latex, table.columns)) + r" \\", r"\midrule",
        *rows, r"\bottomrule", r"\end{tabular}", r"\end{table}",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _groups(table: Table) -> Iterator[str]:
    """Yield the line of groups above the head, and the rules below them."""
    if not table.groups:
        return
    yield " & ".join(rf"\multicolumn{{{span}}}{{c}}{{{in_latex(text)}}}" for text, span in table.groups) + r" \\"
    start, rules = 1, []
    for text, span in table.groups:
        if text:
            rules.append(rf"\cmidrule(lr){{{start}-{start + span - 1}}}")
        start += span
    yield " ".join(rules)


def in_latex(text: str) -> str:
    """Return text as LaTeX shows it; a row never begins with a bracket, which LaTeX would take for an option."""
    escaped = "".join(LATEX.get(character, character) for character in text.replace("\n", " "))
    return f"{{}}{escaped}" if escaped.startswith(("[", "*")) else escaped


def as_csv(table: Table) -> str:
    """Return a table as CSV, with a plain minus."""
    text = io.StringIO()
    lines = [heads(table), *([text_of(cell) for cell in row] for row in table.rows)]
    csv.writer(text, lineterminator="\n").writerows([cell.translate(PLAIN) for cell in line] for line in lines)
    return text.getvalue()


FORMS: dict[str, Callable[[Table], str]] = {"md": markdown, "tex": latex, "csv": as_csv}
"""By the ending of a file's name: how its text is made."""


def tables_in(content: Any) -> list[Table]:
    """Return the tables anywhere in what a page is made of, in its order, each once."""
    if isinstance(content, Table):
        return [content]
    inner: Sequence[Any] = ()
    if isinstance(content, dict):
        inner = list(content.values())
    elif isinstance(content, list | tuple):
        inner = content
    every = [table for part in inner for table in tables_in(part)]
    return list({id(table): table for table in every}.values())


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
            write_text(folder / f"{name}{f'-{again}' if again > 1 else ''}.{form}", made(table))
