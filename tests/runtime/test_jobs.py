"""Jobs in the background: one that ends is told of and begun again, until they are stopped."""

import asyncio

import pytest
from structlog.testing import capture_logs

from postern.runtime.jobs import Jobs


def given_up() -> None:
    raise asyncio.CancelledError


def broken() -> None:
    raise ValueError("a bug")


def ends() -> None:
    """It should not."""


@pytest.mark.parametrize(
    ("end", "told"),
    [(given_up, "given up"), (broken, "ValueError('a bug')"), (ends, "ended")],
    ids=["given up", "broken", "ended"],
)
async def test_a_job_that_ends_is_told_of_and_begun_again(end: object, told: str) -> None:
    assert callable(end)
    begun, again = 0, asyncio.Event()

    async def job() -> None:
        nonlocal begun
        begun += 1
        if begun == 1:
            end()
            return
        again.set()
        await asyncio.Event().wait()

    jobs = Jobs(again_s=0.0)
    with capture_logs() as logs:
        jobs.begin("block lists", job)
        async with asyncio.timeout(10):
            await again.wait()
        await jobs.stop()
    assert begun == 2
    assert [(one["job"], one["error"]) for one in logs] == [("block lists", told)]


async def test_a_job_that_is_stopped_is_not_begun_again() -> None:
    begun, ends_late = asyncio.Event(), asyncio.Event()

    async def job() -> None:
        assert not begun.is_set()
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ends_late.set()

    jobs = Jobs(again_s=0.0)
    with capture_logs() as logs:
        jobs.begin("status", job)
        await begun.wait()
        await jobs.stop()
        for _ in range(5):
            await asyncio.sleep(0)
    assert ends_late.is_set()
    assert not logs


async def test_a_job_that_waits_to_be_begun_again_is_not_begun_after_a_stop() -> None:
    begun = 0

    async def job() -> None:
        nonlocal begun
        begun += 1

    jobs = Jobs(again_s=0.01)
    jobs.begin("status", job)
    for _ in range(3):
        await asyncio.sleep(0)
    await jobs.stop()
    await asyncio.sleep(0.05)  # timers fire in their order: the job's was due before this one
    assert begun == 1
