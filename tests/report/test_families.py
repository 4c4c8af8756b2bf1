"""What differs between the reports on classifiers and on language models."""

from __future__ import annotations

from ungrok.report.families import AnswerReport, ClassReport, family_of


def test_the_problem_decides(study, answers_study):
    assert isinstance(family_of(study().recipe), ClassReport)
    assert isinstance(family_of(answers_study().recipe), AnswerReport)


def test_the_question_says_what_is_compared(study, answers_study):
    stages = ClassReport().question(study())
    assert (
        "mlp models are trained on digits for 1,000 steps with 8 seeds. From models before grokking and after grokking, "
        "1 method unlearns one class; all else is the same" in stages
    )
    groups = AnswerReport().question(answers_study())
    assert (
        "llama models are trained on question-answer pairs of authors for 20 steps with 2 seeds from a base model"
        in groups
    )


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
