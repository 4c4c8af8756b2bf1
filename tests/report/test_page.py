"""The page: it stands alone, holds every section in order, and shows verdicts as given."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure
from PIL import Image

from ungrok.core.errors import StoreError
from ungrok.report import write_report
from ungrok.report.export import LATEX
from ungrok.report.figures.drawing import Picture
from ungrok.report.front import looks
from ungrok.report.page import distinct, saved

SECTIONS = ["verdicts", "figures", "oracle", "updates", "transitions", "cost", "warnings", "recipe", "provenance"]
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MADE = {"versions": {"torch": "2.13"}, "workers": 2}


class Page(HTMLParser):
    """Tags, links and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.sections, self.words, self.folded, self._open = [], [], [], [], [], 0
        self.feed(text)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._open += tag == "details"
        if tag in ("table", "img") and self._open:
            self.folded.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "data", "action", "srcset")]
        self.sections += [value for name, value in attrs if name == "id" and tag == "section"]

    def handle_endtag(self, tag):
        self._open -= tag == "details"

    def handle_data(self, data):
        if self.lasttag not in ("style", "script"):
            self.words.append(data)


def written(view, out):
    path = write_report(out, view.plan, view.results, view.verdicts, MADE, view.doses)
    assert path == out / "report" / "index.html"
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def plain_page(study, tmp_path_factory):
    """Return the folder of a study as it is without changes, and the text of its page."""
    out = tmp_path_factory.mktemp("plain")
    return out, written(study(), out)


def test_the_page_stands_alone(plain_page):
    text = plain_page[1]
    page = Page(text)
    assert page.links
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in page.links)
    assert not {"link", "iframe", "object", "base"} & set(page.tags)
    assert page.tags.count("script") == 1
    assert "<script>" in text
    assert not any(word in text for word in ("://", "@import", "url(", "fetch(", "XMLHttpRequest"))
    assert page.sections == SECTIONS
    assert {link[1:] for link in page.links if link.startswith("#")} == set(SECTIONS)


def test_figures_are_kept_for_papers(plain_page):
    out, text = plain_page
    names = {path.stem for path in (out / "report" / "figures").glob("*.png")}
    assert names == {
        "front", "training", "dose-class", "survival-pre_grok-grokked-class", "least-damage-pre_grok-grokked-class", "frontier-class",
    }  # fmt: skip
    assert names == {path.stem for path in (out / "report" / "figures").glob("*.pdf")}
    assert text.count("<figure ") == len(names)


def test_the_same_study_gives_the_same_bytes(plain_page, study, tmp_path):
    out, text = plain_page
    assert written(study(), tmp_path) == text
    for name in ("training.pdf", "dose-class.png"):
        first, second = ((folder / "report" / "figures" / name).read_bytes() for folder in (out, tmp_path))
        assert first == second, name


def test_the_front_stands_before_the_folds_and_words_before_the_first_table(plain_page):
    text = plain_page[1]
    page = Page(text)
    assert page.tags.count("table") - page.folded.count("table") == 1
    assert page.tags.count("img") - page.folded.count("img") == 1
    order = ["efficiency: refuted", '<figure id="front">', "Words used here", "<table", "<details"]
    assert sorted(order, key=text.index) == order
    assert "<details open" not in text


def test_navigation_and_titles_say_the_same(plain_page):
    text = plain_page[1]
    linked = re.findall(r'<a href="#(\w+)">([^<]+)</a>', text)
    titled = re.findall(r'<summary><h2>([^<]+)</h2></summary>\s*<section id="(\w+)">', text)
    assert linked == [(key, title) for title, key in titled]
    assert [key for key, _ in linked] == SECTIONS


def test_tables_and_figures_are_numbered_through(plain_page):
    text = plain_page[1]
    for kind in ("Table", "Figure"):
        numbers = [int(number) for number in re.findall(rf"<b>{kind} (\d+)\. ", text)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert numbers


def test_verdicts_and_words_are_shown(plain_page):
    page = Page(plain_page[1])
    assert page.text.count("a larger UA means more is remembered") == 1
    assert (
        "efficiency: refuted After grokking, gradient ascent needs 2.51 times more updates at the same rate"
        in page.text
    )
    assert "versions torch 2.13" in page.text
    assert "init_scale: 1.0" in page.text


def test_how_often_a_study_was_judged_is_said(study, tmp_path):
    view = study()
    look = {"alpha": 0.005, "number": 2, "seeds_before": [[0, 1, 2, 3, 4, 5]], "first_headline_same": True}
    path = write_report(tmp_path, view.plan, view.results, view.verdicts, MADE | {"look": look}, view.doses)
    assert looks(0.005, 2, [range(6)]) in Page(path.read_text(encoding="utf-8")).text


def test_the_ends_of_paths_stand_under_the_oracle(plain_page):
    page = Page(plain_page[1])
    assert "At the end of each path, against the oracle, forgetting one class" in page.text
    assert "nearer to the oracle's AUC is better, lower is not" in page.text


def test_a_study_without_its_later_stage_says_so(study, tmp_path):
    page = Page(written(study(options={"absent": lambda cell: cell.stage == "grokked"}), tmp_path))
    assert "No seed has both stages for gradient ascent." in page.text
    assert "The stage “after grokking” is missing in 8 of 8 seeds (memorized only)" in page.text


def test_a_study_without_any_path_still_has_a_page(study, tmp_path):
    page = Page(written(study(options={"absent": lambda cell: True}), tmp_path))
    assert page.sections == SECTIONS
    assert "No unlearning path exists." in page.text


def test_without_comparisons_there_is_no_verdict(study, tmp_path):
    view = study(claims={"targets": [0.1]})
    page = Page(written(view, tmp_path))
    assert "Nothing was compared, so there is no verdict." in page.text
    assert len(page.folded) == page.tags.count("table") + page.tags.count("img")


def test_one_seed_has_unbounded_intervals(study, tmp_path):
    page = Page(written(study(seeds=[3]), tmp_path))
    assert "[0, ∞]" in page.text.replace("\N{NO-BREAK SPACE}", " ")


def test_labels_are_escaped(study, tmp_path):
    text = written(study(unlearn=[{"kind": "gradient_ascent", "name": "a<script>b"}]), tmp_path)
    assert "a&lt;script&gt;b" in text
    assert Page(text).tags.count("script") == 1


def test_a_folder_that_cannot_be_written_is_named(study, tmp_path):
    (tmp_path / "report").write_text("in the way")
    with pytest.raises(StoreError, match=str(tmp_path)):
        written(study(), tmp_path)


def test_the_signal_of_the_transition_is_named(study, tmp_path):
    robust = {"transition": {"signal": "adversarial"}, "trajectory": {"steps": 1000, "robustness": {}}}
    text = Page(written(study(**robust), tmp_path)).text
    assert "late jump of robust accuracy" in text
    assert "if robust accuracy holds its level" in text
    assert "jump of validation" not in text


def test_attacks_have_a_section_of_figures_and_tables_and_an_answer_on_the_front(attacked_study, tmp_path):
    text = written(attacked_study(["relearn", "prune"]), tmp_path)
    page = Page(text)
    assert page.sections[:4] == ["verdicts", "figures", "lasting", "stress"]
    assert "Does forgetting last? Before grokking it lasts for the one method" in page.text
    assert page.text.index("Under attack, before grokking") < page.text.index("All verdicts")
    stress, figures = (text.split(f'<section id="{key}">')[1].split("</section>")[0] for key in ("stress", "figures"))
    assert re.findall(r'<figure id="([^"]+)">', stress) == ["stress-all-class"]
    assert "stress-all-class" not in figures
    assert '<td class="hidden"><b>hidden</b>' in stress
    assert (tmp_path / "report" / "figures" / "stress-all-class.pdf").read_bytes().startswith(b"%PDF")
    rows = (tmp_path / "report" / "tables" / "Cost-of-each-attack.csv").read_text(encoding="utf-8").splitlines()
    assert rows[1].startswith("relearning,2,8,100,200,")


FIVE = [{"kind": kind} for kind in ("gradient_ascent", "neggrad_plus", "scrub", "nabla_tau", "fisher")]


@pytest.mark.skipif(BROWSER is None, reason="needs a browser: Debian's package chromium")
def test_a_study_of_five_methods_prints_on_eight_pages(attacked_study, tmp_path):
    """On A4, as the style sheet asks; what folds is printed as its title."""
    written(attacked_study(unlearn=FIVE, lasting={}), tmp_path)
    page, printed = tmp_path / "report" / "index.html", tmp_path / "page.pdf"
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--print-to-pdf={printed}", str(page)]
    subprocess.run(command, capture_output=True, timeout=120, check=True)
    sheets = re.findall(rb"/MediaBox ?\[0 0 ([\d.]+) ([\d.]+)\]", printed.read_bytes())
    assert 1 < len(sheets) <= 8
    assert {tuple(round(float(side)) for side in sheet) for sheet in sheets} == {(842, 595)}  # A4 across, in points


def test_figures_whose_names_differ_in_case_only_have_files_of_their_own():
    pictures = [Picture(name, "", "", Figure()) for name in ("dose-a", "dose-A", "other", "dose-a")]
    assert [picture.name for picture in distinct(pictures)] == ["dose-a", "dose-A-2", "other", "dose-a-3"]


def test_the_page_escapes_as_the_files_do(plain_page):
    text = plain_page[1]
    assert json.loads(re.search(r"const LATEX = (\{.*\});", text)[1]) == LATEX


TRIED = """
<script>
const table = document.querySelector(".tried table"), heads = [...table.tHead.rows[1].cells], {FORMS, sort, number} = window.ungrok;
const column = (place) => [...table.tBodies[0].rows].map((row) => row.cells[place].textContent.trim());
const found = {buttons: document.querySelectorAll(".tried .tools button").length, forms: {}, numbers: []};
for (const name of Object.keys(FORMS)) found.forms[name] = FORMS[name](table);
for (const word of ["× 0.18 [1, 2]", "−1.5", "> 1,400", "3 of 10", "< 0.001", "∞", "[−2, 1]", "abc", "5e-3"]) {
  const cell = document.createElement("td");
  cell.textContent = word;
  found.numbers.push(String(number(cell)));
}
sort(table, 1, heads[1]);
found.up = column(1);
sort(table, 1, heads[1]);
found.down = [column(0), column(2)];
document.querySelector("nav button").click();
found.open = [...document.querySelectorAll("details")].every((fold) => fold.open);
const said = document.createElement("pre");
said.id = "found";
said.textContent = JSON.stringify(found);
document.body.append(said);
</script>
"""


@pytest.mark.skipif(BROWSER is None, reason="needs a browser: Debian's package chromium")
def test_the_script_sorts_copies_and_opens(plain_page, tmp_path):
    """A page as written, with one more table in front of its script, in a browser without a window."""
    head = "<th>what</th><th>n_1 & %</th><th>why</th>"
    rows = (
        '<td>a</td><td>× 10<br><small>[1, 2]</small></td><td rowspan="2">never, "so"</td>',
        "<td>b|c</td><td>−2</td>",
        "<td>d</td><td>–</td><td>x_y ≤ 5 %</td>",
        "<td>[e]</td><td>× 9</td><td>#1 ~ {z}^2 \\ $</td>",
    )
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    groups = '<th></th><th colspan="2">both</th>'
    table = f'<div class="tried"><table data-keys="1"><thead><tr>{groups}</tr><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    text = plain_page[1].replace("<script>", table + "<script>", 1).replace("</body>", TRIED + "</body>")
    (tmp_path / "tried.html").write_text(text, encoding="utf-8")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", str(tmp_path / "tried.html")]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    said = json.loads(unescape(re.search(r'<pre id="found">(.*?)</pre>', shown, re.DOTALL)[1]))
    assert (said["buttons"], said["open"]) == (3, True)
    assert said["numbers"] == ["0.18", "-1.5", "1400", "3", "0.001", "Infinity", "-2", "NaN", "0.005"]
    assert said["up"] == ["−2", "× 9", "× 10[1, 2]", "–"]
    # The cell that two rows shared has gone with both; what is missing stays last.
    assert said["down"] == [["a", "[e]", "b|c", "d"], ['never, "so"', "#1 ~ {z}^2 \\ $", 'never, "so"', "x_y ≤ 5 %"]]
    assert said["forms"]["Markdown"].split("\n") == [
        "| what | both: n_1 & % | both: why |", "| --- | ---: | ---: |", '| a | × 10 [1, 2] | never, "so" |', '| b\\|c | −2 | never, "so" |',
        "| d | – | x_y ≤ 5 % |", "| [e] | × 9 | #1 ~ {z}^2 \\ $ |",
    ]  # fmt: skip
    assert said["forms"]["CSV"].split("\n") == [
        "what,both: n_1 & %,both: why", 'a,"× 10 [1, 2]","never, ""so"""', 'b|c,-2,"never, ""so"""', "d,–,x_y ≤ 5 %",
        "[e],× 9,#1 ~ {z}^2 \\ $",
    ]  # fmt: skip
    assert said["forms"]["LaTeX"].split("\n") == [
        r"\begin{tabular}{lrr}", r"\toprule", r"what & both: n\_1 \& \% & both: why \\", r"\midrule",
        r'a & $\times$ 10 [1, 2] & never, "so" \\', r'b\textbar{}c & $-$2 & never, "so" \\', r"d & -- & x\_y $\leq$ 5 \% \\",
        r"{[}e] & $\times$ 9 & \#1 \textasciitilde{} \{z\}\textasciicircum{}2 \textbackslash{} \$ \\", r"\bottomrule", r"\end{tabular}",
    ]  # fmt: skip


def test_a_layout_made_once_gives_the_picture_that_matplotlib_writes(tmp_path):
    def figure() -> Figure:
        made = Figure(figsize=(4, 2), layout="constrained")
        for axes in made.subplots(1, 2, sharey=True):
            axes.plot([1, 1000], [0.1, 0.7], label="line")
            axes.set(xscale="log", title="a title that is as long as two", xlabel="steps")
        made.supylabel("UA")
        made.legend(loc="outside upper center")
        return made

    plain = io.BytesIO()
    figure().savefig(plain, format="png", dpi=200, metadata={"Software": None})
    with mpl.rc_context({"savefig.dpi": 200}):
        saved(Picture("one", "", "", figure()), tmp_path)
    whole, written = Image.open(plain), Image.open(tmp_path / "one.png")
    assert (whole.mode, written.mode) == ("RGBA", "RGB")
    assert whole.getextrema()[3] == (255, 255)
    assert whole.convert("RGB").tobytes() == written.tobytes()
    assert (tmp_path / "one.pdf").read_bytes().startswith(b"%PDF")
