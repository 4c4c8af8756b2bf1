"""Fictitious authors: twenty questions each, and answers that say what the profile says."""

from ungrok.data import authors


def test_every_author_is_asked_twenty_questions_with_true_and_wrong_answers():
    tables = authors.tables(11, 2, 1, 0)
    assert len(tables["full"]) == 220
    assert len({row["question"] for row in tables["full"]}) == 220
    for row in tables["retain_perturbed"] + tables["forget10_perturbed"]:
        wrong = row["perturbed_answer"]
        assert len(set(wrong)) == 5
        assert row["paraphrased_answer"] not in wrong
        assert row["question"] != row["paraphrased_question"]
    both = tables["retain90"] + tables["forget10"]
    assert both == tables["full"]
    assert len(tables["forget10"]) == 20
    assert len(tables["forget05"]) == 20


def test_answers_say_what_the_profile_says():
    person = authors.profiles(1, 5)[0]
    rows = authors.questions(person, 5)
    for fact, row in zip(authors.FACTS, rows, strict=True):
        assert person[fact.key] in row["answer"]
        assert person[fact.key] in row["paraphrased_answer"]
        assert all(person[fact.key] not in text.replace(person["name"], "") for text in row["perturbed_answer"])


def test_people_are_different_and_depend_on_the_seed_alone():
    assert authors.profiles(30, 1) == authors.profiles(30, 1) != authors.profiles(30, 2)
    assert len({person["name"] for person in authors.profiles(300, 1)}) == 300
    assert authors.profiles(30, 1)[:10] != authors.profiles(30, 2)[:10]
