"""The page: it stands alone, holds every section in order, and shows verdicts as given."""

from __future__ import annotations

import io
from html.parser import HTMLParser

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from ungrok.core.errors import StoreError
from ungrok.report import write_report
from ungrok.report.figures.drawing import Picture
from ungrok.report.page import _save, answer, distinct

SECTIONS = ["verdicts", "figures", "oracle", "updates", "transitions", "cost", "warnings", "recipe", "provenance"]
MADE = {"versions": {"torch": "2.13"}, "workers": 2}


class Page(HTMLParser):
    """Tags, links and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.sections, self.words, self._cell = set(), [], [], [], None
        self.feed(text)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "data", "action", "srcset")]
        self.sections += [value for name, value in attrs if name == "id" and tag == "h2"]

    def handle_data(self, data):
        if self.lasttag != "style":
            self.words.append(data)


def written(view, out):
    path = write_report(out, view.plan, view.results, view.verdicts, MADE, view.doses)
    assert path == out / "report" / "index.html"
    return path.read_text(encoding="utf-8")


def test_the_page_stands_alone(study, tmp_path):
    text = written(study(), tmp_path)
    page = Page(text)
    assert page.links
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in page.links)
    assert not {"script", "link", "iframe", "object", "base"} & page.tags
    assert not any(word in text for word in ("://", "@import", "url("))
    assert page.sections == SECTIONS
    assert {link[1:] for link in page.links if link.startswith("#")} == set(SECTIONS)


def test_figures_are_kept_for_papers(study, tmp_path):
    text = written(study(), tmp_path)
    names = {path.stem for path in (tmp_path / "report" / "figures").glob("*.png")}
    assert names == {"training", "dose-class", "survival-pre_grok-grokked-class", "frontier-class"}
    assert names == {path.stem for path in (tmp_path / "report" / "figures").glob("*.pdf")}
    assert text.count("<figure ") == len(names)


def test_the_same_study_gives_the_same_bytes(study, tmp_path):
    view = study()
    assert written(view, tmp_path / "a") == written(view, tmp_path / "b")
    for name in ("training.pdf", "dose-class.png"):
        first, second = ((tmp_path / run / "report" / "figures" / name).read_bytes() for run in "ab")
        assert first == second, name


def test_controls_are_not_counted_with_the_stages(study):
    """A second comparison, with an arm: the sentences count the first alone and say so."""
    compare = [["pre_grok", "grokked"], ["grokked", {"arm": "slow", "stage": "grokked"}]]
    arms = {"slow": {"trajectory": {"batch_size": 32}}}
    text = answer(study(arms=arms, claims={"compare": compare, "targets": [0.1, "oracle"]}))[0]
    assert "(pre_grok → grokked, 1 method, forget split class)" in text
    assert "needs fewer updates is supported in 0, refuted in 1 and inconclusive in 0 of 1 setting" in text
    alone = answer(study(arms=arms, claims={"compare": compare[1:], "targets": [0.1, "oracle"]}))[0]
    assert "(1 method, forget split class)" in alone


def test_verdicts_and_words_are_shown(study, tmp_path):
    view = study()
    page = Page(written(view, tmp_path))
    assert page.text.count("a larger UA means more is remembered") == 1
    assert "needs fewer updates is supported in 0, refuted in 1 and inconclusive in 0 of 1 setting" in page.text
    for claim, words in (("efficiency", "0 supported, 2 refuted, 0 inconclusive"), ("stability", "3 inconclusive")):
        assert claim in page.text
        assert words in page.text
    assert "versions torch 2.13" in page.text
    assert "init_scale: 1.0" in page.text


def test_the_ends_of_paths_stand_under_the_oracle(study, tmp_path):
    page = Page(written(study(), tmp_path))
    assert "At the end of each path, against the oracle, forget split class" in page.text
    assert "nearer to the oracle's AUC is better, lower is not" in page.text


def test_a_study_without_its_later_stage_says_so(study, tmp_path):
    page = Page(written(study(options={"absent": lambda cell: cell.stage == "grokked"}), tmp_path))
    assert "no seed has both stages" in page.text
    assert "Stage grokked is missing in 8 of 8 seeds (memorized_only)" in page.text


def test_a_study_without_any_path_still_has_a_page(study, tmp_path):
    page = Page(written(study(options={"absent": lambda cell: True}), tmp_path))
    assert page.sections == SECTIONS
    assert "No unlearning path exists." in page.text


def test_without_comparisons_there_is_no_verdict(study, tmp_path):
    view = study(claims={"targets": [0.1]})
    assert answer(view) == ["Nothing was compared, so there is no verdict."]
    assert "No comparison could be judged." in Page(written(view, tmp_path)).text


def test_one_seed_has_unbounded_intervals(study, tmp_path):
    page = Page(written(study(seeds=[3]), tmp_path))
    assert "[−∞, ∞]" in page.text


def test_labels_are_escaped(study, tmp_path):
    text = written(study(unlearn=[{"kind": "gradient_ascent", "name": "a<script>b"}]), tmp_path)
    assert "a&lt;script&gt;b" in text
    assert "script" not in Page(text).tags


def test_a_folder_that_cannot_be_written_is_named(study, tmp_path):
    (tmp_path / "report").write_text("in the way")
    with pytest.raises(StoreError, match=str(tmp_path)):
        written(study(), tmp_path)


def test_the_signal_of_the_transition_is_named(study, tmp_path):
    robust = {"transition": {"signal": "adversarial"}, "trajectory": {"steps": 1000, "robustness": {}}}
    for changes, signal, other in ((robust, "robust", "validation"), ({}, "validation", "robust")):
        text = Page(written(study(**changes), tmp_path)).text
        assert f"late jump of {signal} accuracy" in text
        assert f"from which {signal} accuracy holds its level" in text
        assert f"if {signal} accuracy holds its level" in text
        assert f"jump of {other}" not in text


def test_figures_whose_names_differ_in_case_only_have_files_of_their_own():
    pictures = [Picture(name, "", "", Figure()) for name in ("dose-a", "dose-A", "other", "dose-a")]
    assert [picture.name for picture in distinct(pictures)] == ["dose-a", "dose-A-2", "other", "dose-a-3"]


def test_a_layout_made_once_gives_the_file_that_matplotlib_writes(tmp_path):
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
        _save(Picture("one", "", "", figure()), tmp_path)
    assert (tmp_path / "one.png").read_bytes() == plain.getvalue()
    assert (tmp_path / "one.pdf").read_bytes().startswith(b"%PDF")
