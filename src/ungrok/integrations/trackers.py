"""Experiment trackers that a study is written to: TensorBoard, Weights & Biases, MLflow. None of them is a dependency."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from ungrok.core.errors import RecipeError, unknown

if TYPE_CHECKING:
    from mlflow import MlflowClient

PROJECT = "ungrok"
"""The project of Weights & Biases, where WANDB_PROJECT names none."""

BATCH = 1000
"""Metrics that MLflow takes at once."""


@dataclass(frozen=True)
class Series:
    """What was measured along one path.

    Args:
        kind: ``training`` or ``unlearning``.
        place: Of an unlearning path its stage, forget split and method; empty for training.
        axis: What steps count: ``step`` of training, ``updates`` of unlearning, or, of a path without updates, its ``place``.
        steps: Shape (n,), int64, not decreasing.
        metrics: By name values of shape (n,), float64; nan where there is none.

    """

    kind: str
    place: tuple[str, ...]
    axis: str
    steps: NDArray[np.int64]
    metrics: Mapping[str, NDArray[np.float64]]

    def rows(self) -> Iterator[tuple[int, dict[str, float]]]:
        """Yield every step with the values that there are."""
        columns = {name: values.tolist() for name, values in self.metrics.items()}
        for at, step in enumerate(self.steps.tolist()):
            here = {name: values[at] for name, values in columns.items()}
            yield step, {name: value for name, value in here.items() if value == value}  # nan is not itself


@dataclass(frozen=True)
class TrackedRun:
    """One training run and the paths of unlearning that leave it."""

    arm: str
    seed: int
    series: Sequence[Series]

    @property
    def name(self) -> str:
        """Its name within the study."""
        return f"{self.arm}/seed-{self.seed}"


@dataclass(frozen=True)
class TrackedStudy:
    """What a tracker is given.

    Args:
        name: Of the study.
        key: Hash of its recipe; what an earlier call wrote under it is replaced.
        recipe: The recipe as plain data.
        report: Folder of its report.
        runs: One per arm and seed.
        answers: Per claim that was tested its word and a sentence.

    """

    name: str
    key: str
    recipe: Mapping[str, Any]
    report: Path
    runs: Sequence[TrackedRun]
    answers: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def id_of(self, name: str) -> str:
        """Return what names a run of this study in every call."""
        return sha256(f"{self.key}/{name}".encode()).hexdigest()[:16]


class Tracker(Protocol):
    """Writes a study, in the place of what an earlier call wrote of it.

    Args:
        study: What is written.
        folder: Where files go that belong to no server.

    Returns:
        Where it was written, for people.

    """

    def __call__(self, study: TrackedStudy, folder: Path) -> str:
        """Write a study."""
        ...


def to_tensorboard(study: TrackedStudy, folder: Path) -> str:
    """Write event files for TensorBoard; see :class:`Tracker`.

    Every training run and every path is a run of TensorBoard, so that equal metrics of several share a diagram. Values are float32,
    as TensorBoard's scalars are. The report is a text with the answers and its address.
    """
    from torch.utils.tensorboard import FileWriter
    from torch.utils.tensorboard.summary import text

    root = folder / "tensorboard"
    shutil.rmtree(root, ignore_errors=True)
    for run in study.runs:
        for series in run.series:
            parts = (run.arm, f"seed-{run.seed}", *series.place)
            writer = FileWriter(str(root.joinpath(*(quote(part, safe=" +=,()[]@") for part in parts))))
            for step, row in series.rows():
                writer.add_summary(_scalars({f"{series.kind}/{name}": value for name, value in row.items()}), step)
            writer.close()
    told = [f"**{claim}: {word}.** {sentence}" for claim, (word, sentence) in study.answers.items()]
    writer = FileWriter(str(root))
    writer.add_summary(text("report", "\n\n".join([*told, str((study.report / "index.html").resolve())])), 0)
    writer.close()
    return f"tensorboard --logdir {root}"


def _scalars(values: Mapping[str, float]) -> Any:
    """Return values of one step as TensorBoard stores them."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()])


def to_wandb(study: TrackedStudy, folder: Path) -> str:
    """Write runs of Weights & Biases, offline where WANDB_MODE says so; see :class:`Tracker`.

    There is a run per arm and seed, and one more with the answers and the report as an artifact; the study is their group. A metric
    along a path is called ``stage/forget/method/metric``, one of training ``training/metric``. Runs keep their ids, by which the
    server replaces what it had. A dot in a label becomes ``_``.
    """
    import wandb

    shutil.rmtree(folder / "wandb", ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)

    def opened(name: str, kind: str, **config: Any) -> Any:
        return wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            group=study.name,
            name=f"{study.name}/{name}",
            id=study.id_of(name),
            job_type=kind,
            config={"recipe": dict(study.recipe), **config},
            dir=folder,
            # The machine that writes need not be the one that ran the jobs.
            settings=wandb.Settings(console="off", silent=True, x_disable_stats=True),
        )

    for run in study.runs:
        with opened(run.name, "run", arm=run.arm, seed=run.seed) as own:
            for series in run.series:
                # wandb takes a dot in the name of a step metric for nesting.
                prefix = "/".join(series.place or (series.kind,)).replace(".", "_")
                own.define_metric(f"{prefix}/*", step_metric=f"{prefix}/{series.axis}")
                for step, row in series.rows():
                    own.log({f"{prefix}/{name}": value for name, value in ({series.axis: step} | row).items()})
    with opened("report", "report") as own:
        own.summary.update({f"verdict/{claim}": word for claim, (word, _) in study.answers.items()})
        artifact = wandb.Artifact(re.sub(r"[^\w.-]+", "-", f"{study.name}-report"), type="report")
        artifact.add_dir(str(study.report))
        own.log_artifact(artifact)
        offline = own.offline
    return f"wandb sync {folder / 'wandb'}/offline-run-*" if offline else "wandb"


def to_mlflow(study: TrackedStudy, folder: Path) -> str:
    """Write runs of MLflow, to the server that MLFLOW_TRACKING_URI names or to files; see :class:`Tracker`.

    The study is an experiment. Of its runs one holds the answers and the report, and has one child per arm and seed. Metrics are
    called as for Weights & Biases, with ``_`` for characters that MLflow does not take.
    """
    from mlflow import MlflowClient

    uri, allow = os.environ.get("MLFLOW_TRACKING_URI"), ""
    if not uri:
        uri, allow = (folder / "mlruns").resolve().as_uri(), "MLFLOW_ALLOW_FILE_STORE"
        # MLflow refuses new stores of files otherwise; its other local store needs a database.
        os.environ.setdefault(allow, "true")
    client = MlflowClient(uri)
    known = client.get_experiment_by_name(study.name)
    experiment = known.experiment_id if known else client.create_experiment(study.name)
    mine = {"ungrok.recipe": study.key}
    for old in client.search_runs([experiment], f"tags.`ungrok.recipe` = '{study.key}'", max_results=50_000):
        client.delete_run(old.info.run_id)
    words = {f"verdict.{claim}": word for claim, (word, _) in study.answers.items()}
    parent = client.create_run(experiment, run_name=study.name, tags=mine | words).info.run_id
    for run in study.runs:
        own = client.create_run(experiment, run_name=run.name, tags=mine | {"mlflow.parentRunId": parent}).info.run_id
        client.log_param(own, "arm", run.arm)
        client.log_param(own, "seed", run.seed)
        _log_metrics(client, own, run)
        client.set_terminated(own)
    client.log_dict(parent, dict(study.recipe), "recipe.yaml")
    client.log_artifacts(parent, str(study.report), "report")
    client.set_terminated(parent)
    return f"{allow and f'{allow}=true '}mlflow ui --backend-store-uri {uri}"


def _log_metrics(client: MlflowClient, own: str, run: TrackedRun) -> None:
    """Give a run of MLflow all metrics of a training run and its paths."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    each = (
        Metric(re.sub(r"[^\w./ -]", "_", "/".join((*(series.place or (series.kind,)), name))), value, now, step)
        for series in run.series
        for step, row in series.rows()
        for name, value in row.items()
    )
    while batch := list(islice(each, BATCH)):
        client.log_batch(own, metrics=batch)


TRACKERS: dict[str, Tracker] = {"tensorboard": to_tensorboard, "wandb": to_wandb, "mlflow": to_mlflow}
"""By name, which is also that of the package and of the extra that installs it."""


def check_tracker(name: str, find: Callable[[str], Any] = find_spec) -> None:
    """Raise RecipeError unless a tracker is known and its package is installed.

    Args:
        name: Of the tracker.
        find: Finds a package without importing it.

    """
    if name not in TRACKERS:
        raise unknown("--track", name, TRACKERS)
    spec = find(name)
    # A mere folder of that name, as wandb makes one where it runs, has no origin.
    if spec is None or spec.origin is None:
        raise RecipeError(f"--track: {name} is not installed: pip install 'ungrok[{name}]'")
