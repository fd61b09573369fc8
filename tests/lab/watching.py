"""What Postern sees and does while a play runs: every change that its commands show, told at once.

A thread asks ``paths``, ``temporary list`` and ``queue`` again and again, and counts what arrives
at the MX hosts. For people who look on; in tests nobody asks.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec
from tests.journeys.told import queue
from tests.lab.answers import paths, temporaries
from tests.lab.stage import Stage
from tests.lab.world import ABROAD
from tests.peers.postern_server import CommandError

EVERY_S = 1.0
MANY = 6
"""More that change alike are counted, not listed."""


@dataclass
class Watcher:
    """Who looks on. ``tell`` is given each change in words."""

    stage: Stage
    tell: Callable[[str], None]
    _shown: dict[str, dict[str, str]] = field(default_factory=dict)
    _letters: int = 0
    _silent: set[str] = field(default_factory=set)
    _over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Look until it is over, and once more."""
        while not self._over.wait(EVERY_S):
            self.look()
        self.look()

    def end(self) -> None:
        """It is over."""
        self._over.set()

    def look(self) -> None:
        """Tell what has changed since the last look."""
        self._mail()
        for name, ask in (("paths", self._paths), ("temporary", self._temporary),
                          ("queue", self._queue)):  # fmt: skip
            try:
                self._change(name, ask())
            except (CommandError, msgspec.ValidationError) as error:
                self._once(name, f"{error}".strip().splitlines()[0])

    def _once(self, name: str, words: str) -> None:
        """A command that does not answer is told of once."""
        if name not in self._silent:
            self._silent.add(name)
            self.tell(f"postern {name} does not answer: {words}")

    def _mail(self) -> None:
        letters = self.stage.actors.letters()
        came = Counter(
            (one.recipients[0].partition("@")[2], one.client == ABROAD, bool(one.tls))
            for one in letters[self._letters :]
        )
        self._letters = len(letters)
        for (domain, is_relayed, is_encrypted), count in sorted(came.items()):
            way = "through us1" if is_relayed else "direct"
            self.tell(f"{count} to {domain} {way}" + ("" if is_encrypted else ", IN CLEAR"))

    def _paths(self) -> dict[str, str]:
        shown = {}
        for group in paths(self.stage.home).values():
            route = f", {group.route}" if group.route else ""
            shown[group.mx_group] = f"{group.state}{route}"
            for one in group.addresses:
                what = f" ({one.last_error})" if one.last_error and one.state != "healthy" else ""
                shown[f"{one.mx} {one.address} {one.egress} {one.tls or ''}".strip()] = (
                    f"{one.state}{what}"
                )
        return shown

    def _temporary(self) -> dict[str, str]:
        return {
            one.id: f"{one.what}, by {one.owner}: {one.reason}"
            for one in temporaries(self.stage.home)
        }

    def _queue(self) -> dict[str, str]:
        causes = queue(self.stage.home).causes
        return {one.mx_group or one.cause: f"{one.count} wait: {one.cause}" for one in causes}

    def _change(self, kind: str, now: dict[str, str]) -> None:
        """Tell what is new, what is different, and what is gone; what begins healthy is no news."""
        shown = self._shown.setdefault(kind, {})
        news: dict[str, list[str]] = {}
        for key, words in now.items():
            if shown.get(key, "healthy") != words:
                news.setdefault(words, []).append(key)
        for key, words in shown.items():
            if key not in now and words != "healthy":
                news.setdefault("no more", []).append(key)
        self._shown[kind] = now
        for words, keys in news.items():
            names = keys if len(keys) <= MANY else [f"{len(keys)} such as {keys[0]}"]
            for name in names:
                self.tell(f"{kind}: {name}: {words}")


@contextmanager
def watched(stage: Stage, tell: Callable[[str], None]) -> Iterator[None]:
    """Somebody looks on for as long as this lasts."""
    watcher = Watcher(stage, tell)
    thread = threading.Thread(target=watcher.run)
    thread.start()
    try:
        yield
    finally:
        watcher.end()
        thread.join()
