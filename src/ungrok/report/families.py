"""What a report is made of for each kind of model: the question, the figures, and tables that the other kind lacks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from ungrok.core.errors import spoken
from ungrok.report.figures.doses import doses
from ungrok.report.figures.drawing import Picture
from ungrok.report.figures.extraction import extraction as extraction_against_dose
from ungrok.report.figures.frontier import frontier
from ungrok.report.figures.least_damage import least_damage
from ungrok.report.figures.rates import rate_search
from ungrok.report.figures.sequences import sequences
from ungrok.report.figures.survival import survival
from ungrok.report.figures.training import training
from ungrok.report.figures.trajectory import along_trajectory
from ungrok.report.format import plural
from ungrok.report.tables.ends import ends
from ungrok.report.tables.language import answers, difficulty, extraction, group_sizes, group_splits
from ungrok.report.tables.table import Table
from ungrok.report.view import View
from ungrok.study.recipe import Recipe
from ungrok.study.recipe_blocks import BASE
from ungrok.study.units import units_of

ACCURACIES = (
    "UA, RA and TA are accuracies in [0, 1] on the forget data, the retained training data and the test data; a larger UA means more is "
    "remembered."
)
TOKENS = (
    "UA and RA are the shares of answer tokens that are the model's first choice after the true prefix, on forgotten and retained pairs, TA that "
    "on real authors and world facts, which only the base model was taught; a larger UA means more is remembered."
)


OWN_TOKENS = (
    "UA, RA and TA are the shares of answer tokens that are the model's first choice after the true prefix, on forgotten, retained and test texts; "
    "a larger UA means more is remembered."
)


def given_question(view: View, what: str, measured: str) -> str:
    """Return what a sweep asks, and what it was run on.

    Args:
        view: The study.
        what: Whose checkpoints were given, in words.
        measured: What UA, RA and TA are.

    """
    recipe = view.recipe
    unlearn = f"{plural(len(recipe.unlearn), 'method')} {'unlearn' if len(recipe.unlearn) > 1 else 'unlearns'}"
    return (
        f"Is a model easier to make forget when its training went on? Here checkpoints of {what} were given, of up to {recipe.trajectory.steps:,} steps, "
        f"with {plural(len(recipe.seeds), 'seed')}. From models {spoken([view.names.stage(stage) for stage in view.stages])}, {unlearn} "
        f"{spoken(view.names.forgets(recipe.forget_labels()))}; all else is the same, and stages are compared seed by seed. {measured}"
    )


def exposed_question(view: View, examples: str, measured: str) -> str:
    """Return what a study of randomized exposure asks, and what it was run on.

    Args:
        view: The study.
        examples: What is learned, in words.
        measured: What UA, RA and TA are.

    """
    recipe, units = view.recipe, units_of(view.recipe)
    exposure = recipe.trajectory.exposure
    assert exposure is not None
    unlearn = f"{plural(len(recipe.unlearn), 'method')} {'unlearn' if len(recipe.unlearn) > 1 else 'unlearns'}"
    arms = f", in the arms {spoken(view.arms)}" if recipe.arms else ""
    return (
        f"Is what a model learned early easier to make it forget than what it learned late? Here chance decides which {examples} a "
        f"{recipe.model.kind} model is shown from the start and which only after {100 * exposure.late:g} % of {recipe.trajectory.steps:,} steps, then so much "
        f"more often that all are shown equally often in the end, with {units.counted(len(units))}{arms}. {unlearn} "
        f"{spoken(view.names.forgets(recipe.forget_labels()))} from models {spoken([view.names.stage(stage) for stage in view.stages])}, and both groups are compared within each model. "
        f"{measured}"
    )


class ReportFamily(ABC):
    """The parts of a report that depend on what kind of model was trained."""

    name: ClassVar[str]
    """The kind of model, as :attr:`ungrok.study.claims.Claim.family` names it."""

    later: ClassVar[str]
    """What the later side of a comparison is called."""

    @abstractmethod
    def question(self, view: View) -> str:
        """Return what the study asks, and what it was run on."""

    @abstractmethod
    def pictures(self, view: View) -> Iterator[Picture]:
        """Yield every figure that the study has data for; meant to run within ``STYLE``."""

    def ends(self, view: View) -> Iterator[Table]:  # noqa: ARG002
        """Yield tables of the ends of paths, which stand under the distances from the oracle."""
        yield from ()

    def own_tables(self, view: View) -> Iterator[Table]:  # noqa: ARG002
        """Yield tables that stand in a section of their own."""
        yield from ()


class ClassReport(ReportFamily):
    """The report on classifiers."""

    name: ClassVar[str] = "classifier"
    later: ClassVar[str] = "later stage"

    def question(self, view: View) -> str:
        """Return what the study asks, and what it was run on."""
        recipe = view.recipe
        data = getattr(recipe.problem, "dataset", recipe.problem.kind)
        if recipe.trajectory.exposure:
            return exposed_question(view, f"examples of {data}", ACCURACIES)
        if recipe.given:
            return given_question(view, "a classifier", ACCURACIES)
        arms = f", in the arms {spoken(view.arms)}" if recipe.arms else ""
        stages = [view.names.stage(stage) for stage in view.stages]
        forgotten = spoken(view.names.forgets(recipe.forget_labels()))
        unlearn = f"{plural(len(recipe.unlearn), 'method')} {'unlearn' if len(recipe.unlearn) > 1 else 'unlearns'}"
        return (
            f"Is a model easier to make forget when its training went on past grokking, the late jump of {view.signal} that "
            f"follows memorization? Here {recipe.model.kind} models are trained on {data} for {recipe.trajectory.steps:,} steps "
            f"with {plural(len(recipe.seeds), 'seed')}{arms}. From models {spoken(stages)}, {unlearn} {forgotten}; "
            f"all else is the same, and stages are compared seed by seed. {ACCURACIES}"
        )

    def pictures(self, view: View) -> Iterator[Picture]:
        """Yield the figures of training, doses, survival, rates, frontiers, and places along a trajectory."""
        yield from training(view)
        yield from along_trajectory(view)
        for arm in view.arms:
            for forget in view.recipe.forget_labels():
                yield from doses(view, arm, forget)
        for comparison in view.comparisons:
            yield from survival(view, comparison)
        for arm in view.arms:
            for forget in view.recipe.forget_labels():
                yield from rate_search(view, arm, forget)
        for comparison in view.comparisons:
            yield from least_damage(view, comparison)
        for arm in view.arms:
            for forget in view.recipe.forget_labels():
                yield from frontier(view, arm, forget)
                yield from sequences(view, arm, forget)

    def ends(self, view: View) -> Iterator[Table]:
        """Yield attacks on the models at the ends of paths, and their distances from the oracle."""
        yield from ends(view)


class AnswerReport(ReportFamily):
    """The report on language models that answer questions, in which groups of pairs are compared."""

    name: ClassVar[str] = "language"
    later: ClassVar[str] = "second group"

    def question(self, view: View) -> str:
        """Return what the study asks, and what it was run on."""
        recipe, stages = view.recipe, [view.names.stage(stage) for stage in view.stages]
        if recipe.trajectory.exposure:
            return exposed_question(view, f"question-answer pairs of {recipe.problem.kind}", TOKENS)
        return (
            "Are examples that a language model learned at another time easier to make it forget? Here "
            f"{recipe.model.kind} models are trained on question-answer pairs of {recipe.problem.kind} for {recipe.trajectory.steps:,} steps "
            f"with {plural(len(recipe.seeds), 'seed')}{' from a base model' if recipe.base else ''}; the loss of every pair is followed, and "
            f"forget sets are drawn from groups that were learned early (grokked) and late (ungrokked). {plural(len(recipe.unlearn), 'method')} "
            f"unlearn {spoken(view.names.forgets(recipe.forget_labels()))} from models {spoken(stages)}; groups are compared seed by seed. {TOKENS}"
        )

    def pictures(self, view: View) -> Iterator[Picture]:
        """Yield the figures of training, of extraction with both groups in a panel, and for other splits those of classifiers."""
        yield from training(view)
        paired: set[str] = set()
        for name, pairs in group_splits(view).items():
            for size, pair in pairs.items():
                paired |= set(pair.values())
                for stage in view.stages:
                    yield from extraction_against_dose(view, stage, f"{size} pairs, {name}", pair)
        alone = [label for label in view.recipe.forget_labels() if label not in paired]
        for forget in alone:
            yield from doses(view, BASE, forget)
        for comparison in view.comparisons:
            yield from survival(view, comparison)
        for forget in alone:
            yield from frontier(view, BASE, forget)
        for forget in view.recipe.forget_labels():
            yield from sequences(view, BASE, forget)

    def own_tables(self, view: View) -> Iterator[Table]:
        """Yield extraction strengths, the groups, and what models answer at the ends of paths."""
        yield from extraction(view)
        yield from group_sizes(view)
        yield from difficulty(view)
        yield from answers(view)


class GivenAnswerReport(AnswerReport):
    """The report on checkpoints of a language model that were given, in which stages are compared."""

    later: ClassVar[str] = "later stage"

    def question(self, view: View) -> str:
        """Return what the sweep asks, and what it was run on."""
        return given_question(view, "a language model", OWN_TOKENS)


FAMILIES: dict[str, ReportFamily] = {family.name: family for family in (ClassReport(), AnswerReport())}


def family_of(recipe: Recipe) -> ReportFamily:
    """Return the family of the report on a recipe."""
    if recipe.given and recipe.problem.family == "language":
        return GivenAnswerReport()
    return FAMILIES[recipe.problem.family]
