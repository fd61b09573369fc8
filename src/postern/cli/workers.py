"""Asking the workers of a running server for something, and waiting for their answers."""

import time
from typing import TYPE_CHECKING

from postern.cli.output import ExitCode, fail
from postern.config.settings import Config
from postern.queue.request import Answer, Request
from postern.runtime.lock import is_served
from postern.runtime.processes import read_statuses

if TYPE_CHECKING:
    from postern.queue.store.requests import RequestStore  # loads the SQL library (0.35 s)

PATIENCE_S = 5.0
"""How long the workers may say nothing; one that tells how far it has come is waited for."""

POLL_S = 0.05


def check_served(config: Config) -> None:
    """End the command when no server runs: nobody would do what is asked for."""
    if not is_served(config.data_dir):
        fail(ExitCode.UNAVAILABLE, "the server is not running; start it: postern serve")


def ask_workers(
    store: "RequestStore", request: Request, config: Config
) -> tuple[list[Answer], list[int]]:
    """The answers to one request, and the workers that gave none and now will not do it."""
    number = store.add(request)
    answers, silent_ones = _wait(store, number, config)
    if silent_ones:
        store.withdraw(number)
    return answers, silent_ones


def _wait(store: "RequestStore", number: int, config: Config) -> tuple[list[Answer], list[int]]:
    """Answers, and the workers that said nothing for ``PATIENCE_S``."""
    workers = {status.number for status in read_statuses(config.run_dir)} or {0}
    heard: dict[int, float] = {}
    deadline = time.monotonic() + PATIENCE_S
    while True:
        answers = store.answers(number)
        open_ones = workers - {answer.worker for answer in answers if answer.tally.is_done}
        if not open_ones:
            return answers, []
        news = {answer.worker: answer.at for answer in answers}
        if news != heard:
            heard, deadline = news, time.monotonic() + PATIENCE_S
        if time.monotonic() > deadline:
            return answers, sorted(open_ones)
        time.sleep(POLL_S)
