"""A worker's reload is whole, or it is not at all."""

import asyncio
from pathlib import Path
from typing import cast

import pytest
from structlog.testing import capture_logs

from postern.app import worker as module
from postern.app.worker import Worker
from postern.config.load import load
from postern.reception.reception import Reception
from postern.reception.services import Services
from postern.runtime.headcount import Headcount
from postern.runtime.processes import WorkerSetup
from postern.runtime.ratetable import RateTable


class Taken:
    """In place of reception: what it was told to serve by."""

    def __init__(self) -> None:
        self.services: list[Services] = []

    def reload(self, services: Services, _certificates: object) -> None:
        self.services.append(services)


def written(folder: Path, patience_s: int) -> Path:
    path = folder / "postern.toml"
    path.write_text(
        'hostname = "mx.harbour.example"\ndata_dir = "data"\n'
        f"[checks]\ndns_patience_s = {patience_s}\n"
    )
    return path


def broken(*_: object) -> None:
    raise RuntimeError("a bug")


async def test_a_bug_in_the_middle_of_a_reload_leaves_all_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    config = load(written(tmp_path, 7200))
    setup = WorkerSetup(0, 1, (), tmp_path / "status", -1, Headcount(1), RateTable())
    worker, taken = Worker(config, setup), Taken()
    reception = cast("Reception", taken)
    before = worker._config, worker._outward, worker._judging, worker._services
    patience = worker._memory.patience
    assert patience is not None
    written(tmp_path, 3600)
    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(module, "reception_settings", broken)
        worker._reload(reception)
    assert [one["event"] for one in logs] == ["worker.reload_bug"]
    assert (worker._config, worker._outward, worker._judging, worker._services) == before
    assert (taken.services, patience.wait_s) == ([], 7200)
    worker._reload(reception)  # and the next one is whole
    assert [one.policy for one in taken.services] == [worker._judging.policy]
    assert worker._outward is not before[1]
    assert patience.wait_s == 3600
    await asyncio.gather(*worker._leaving)
    patience.close()
    worker._site.close()
