"""What differs between the reports on classifiers and on language models."""

from __future__ import annotations

from ungrok.report.families import AnswerReport, ClassReport, family_of, splits
from ungrok.report.page import statements


def test_the_problem_decides(study, answers_study):
    assert isinstance(family_of(study().recipe), ClassReport)
    assert isinstance(family_of(answers_study().recipe), AnswerReport)


def test_the_question_says_what_is_compared(study, answers_study):
    stages = ClassReport().question(study())
    assert (
        "mlp models are trained on digits for 1,000 steps with 8 seeds. From pre_grok and grokked, 1 method unlearns"
        in stages
    )
    groups = AnswerReport().question(answers_study())
    assert (
        "llama models are trained on question-answer pairs of authors for 20 steps with 2 seeds from a base model"
        in groups
    )


def test_only_language_models_have_extraction_and_a_second_group():
    classes, language = dict(statements(ClassReport())), dict(statements(AnswerReport()))
    assert set(language) - set(classes) == {"extraction"}
    assert classes["efficiency"].startswith("From the later stage, ")
    assert language["efficiency"].startswith("From the second group, ")


def test_each_has_tables_that_the_other_lacks(study, answers_study):
    assert list(ClassReport().own_tables(study())) == []
    assert [table.title.split(" ")[0] for table in ClassReport().ends(study())] == ["At"]
    titles = [table.title.split(",")[0] for table in AnswerReport().own_tables(answers_study())]
    assert titles == [
        "Extraction strength after unlearning (the paper's Table 2)",
        "Local grokking: sizes of the groups",
        "Difficulty of the groups (the paper's Table 12)",
        "Answers at the end",
        "Answers at the end",
    ]
    assert list(AnswerReport().ends(answers_study())) == []


def test_splits_are_counted():
    assert splits(["a"]) == "forget split a"
    assert splits(["a", "b", "c"]) == "forget splits a, b and c"
