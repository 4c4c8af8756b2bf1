"""A study's own workers: where they listen, and what is said when none stays alive."""

from __future__ import annotations

import time
from urllib.error import HTTPError
from urllib.request import urlopen

import dask.distributed
import psutil
import pytest

from ungrok.core.errors import RecipeError, WorkersLost
from ungrok.study import cluster
from ungrok.study.cluster import check_dashboard, connected


def _listening() -> set[str]:
    """Return the addresses on which this process and those below it listen."""
    me = psutil.Process()
    return {
        connection.laddr.ip
        for process in (me, *me.children(recursive=True))
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }


def test_everything_listens_on_this_machine_only():
    before = _listening()
    with connected(1, None, print) as (client, _):
        client.submit(sum, [1, 2]).result()
        workers = [process for process in psutil.Process().children(recursive=True) if process.net_connections("inet")]
        assert workers
        assert _listening() - before <= {"127.0.0.1"}
        assert "127.0.0.1" in _listening()


def test_settings_are_left_as_they_were():
    before = dask.config.get("distributed")
    with connected(1, None, print):
        assert dask.config.get("distributed.deploy.lost-worker-timeout") != "15s"
    assert dask.config.get("distributed") == before


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import os\nos._exit(3)", "Worker process [0-9]+ exited with status 3"),  # dies, and its nanny starts another
        ("import ungrok_is_not_called_that", "No module named 'ungrok_is_not_called_that'"),  # an error ends its nanny
    ],
)
def test_workers_that_never_come_up_end_a_study_within_a_minute(program, reason):
    started = time.monotonic()

    def wait():
        with dask.config.set({"distributed.worker.preload": [program]}), connected(2, None, print) as (_, watch):
            while time.monotonic() < started + 100:
                watch()
                time.sleep(0.2)

    with pytest.raises(WorkersLost, match=f"no worker process lives.*{reason}") as error:
        wait()
    assert time.monotonic() - started < 60
    assert "\n" not in str(error.value)


def test_a_dashboard_needs_its_package(monkeypatch):
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    with pytest.raises(RecipeError, match="--dashboard: needs the package bokeh; install it with"):
        check_dashboard(None, None)


def test_a_dashboard_is_served_on_this_machine_only():
    pytest.importorskip("bokeh")
    said: list[str] = []
    with connected(1, None, said.append, dashboard=True):
        assert _listening() == {"127.0.0.1"}
        (line,) = said
        address = line.removeprefix("dashboard: ")
        assert address.startswith("http://127.0.0.1:")
        with urlopen(address) as page:
            assert b"Dask" in page.read()


def test_without_a_dashboard_no_page_is_served():
    with connected(0, None, print) as (client, _):
        port = client.scheduler_info()["services"]["dashboard"]
        for page in ("status", "info/main/workers.html", "health", "metrics"):
            with pytest.raises(HTTPError, match="404"):
                urlopen(f"http://127.0.0.1:{port}/{page}")


@pytest.mark.parametrize("content", ["name: tiny", "[1]", "{}", ""])
def test_a_file_of_no_scheduler_is_named(tmp_path, content):
    (tmp_path / "file").write_text(content)
    with (
        pytest.raises(RecipeError, match=r"^--scheduler .*file': is no scheduler file"),
        connected(0, str(tmp_path / "file"), print),
    ):
        pass


def test_a_scheduler_without_workers_is_told_now_and_then(monkeypatch):
    from dask.distributed import LocalCluster

    monkeypatch.setattr(cluster, "REMINDER", 0.1)
    said: list[str] = []
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address=":0", silence_logs=50) as own,
        connected(0, own.scheduler_address, said.append) as (_, watch),
    ):
        watch()
        assert said == []
        time.sleep(0.2)
        watch()
        watch()
    assert said == [f"--scheduler {own.scheduler_address}: it has no workers; waiting for some"]
