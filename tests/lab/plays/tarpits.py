"""S10: tarpits hold lines and a black hole swallows a queue; healthy mail does not notice."""

import time
from collections.abc import Sequence

from tests.journeys.told import Cause, queue
from tests.lab.behaviour import Behaviour
from tests.lab.cast import Provider
from tests.lab.mail import Flow, Sender, Sent, flowing
from tests.lab.playing import Repertoire
from tests.lab.promises import NEXT_S
from tests.lab.stage import Stage
from tests.lab.story import Story, soon

TARPITS = tuple(Provider(f"pit{n}", 100 + n, 1, (f"mud{n}",)) for n in range(24))
HOLE = Provider("hole", 90, 2, ("gone",))
WELL = Provider("well", 11, 3, ("well-tea",))
FRESH = Provider("fresh", 21, 1, ("never-met",))
CAST = (WELL, FRESH, HOLE, *TARPITS)
SLOTS = len(TARPITS)
SETTINGS = {
    "delivery": {"slots": f"{SLOTS}", "slow_after_s": "2", "connect_timeout_s": "3"},
    "queue": {"first_retry_s": "60", "max_retry_s": "120"},
}
"""As many slots as tarpits. A session is slow after two seconds instead of fifteen."""
EACH = 3
"""Messages for each tarpit."""
WAITING = 300
EVERY_S = 0.05
TOLD_S = 20.0


def tarpits(stage: Stage, story: Story, *, seconds: float = 4.0, is_compared: bool = False) -> None:
    """Healthy mail without tarpits, and beside them.

    ``is_compared``: the two are held against each other, which says something on an idle machine.
    """
    quiet = _p99(stage, _flow(stage, seconds))
    story.within("healthy mail without tarpits, p99", quiet, NEXT_S)
    pits = [ip for pit in TARPITS for ip in pit.addresses]
    stage.actors.behave(pits, Behaviour(bytes_per_s=1))
    stage.world.cut("home", *HOLE.addresses)
    with Sender(stage.world.home, stage.port) as sender:
        mud = [sender.send(f"zoe@mud{n}.example") for n in range(len(TARPITS)) for _ in range(EACH)]
        gone = [sender.send("zoe@gone.example") for _ in range(WAITING)]
    story.say(f"{len(TARPITS)} tarpits hold lines, {len(gone)} messages wait for a black hole")
    reached = soon(lambda: len({one.ip for one in stage.actors.visits(*pits)}) >= 8, 15)
    story.claim("lines are held", reached is not None)
    sent = _flow(stage, seconds)
    with Sender(stage.world.home, stage.port) as sender:
        met = sender.send("zoe@never-met.example")
    soon(lambda: bool(stage.actors.letters(*FRESH.addresses)), NEXT_S + 5)
    came = stage.actors.letters(*FRESH.addresses)
    took = came[0].at - met.at if came else None
    story.within("a healthy domain met for the first time beside them", took, NEXT_S)
    busy = _p99(stage, sent)
    story.within("healthy mail beside them, p99", busy, NEXT_S)
    if quiet is not None and busy is not None:
        story.say(f"p99 {quiet * 1000:.0f} ms without, {busy * 1000:.0f} ms beside them")
        if is_compared:
            limit = max(1.2 * quiet, quiet + 0.05)
            story.within("p99 is at most 1.2 times as much, or 50 ms more", busy, limit)
    hole: list[Cause] = []

    def is_told() -> bool:
        hole[:] = [one for one in queue(stage.home).causes if one.mx_group == HOLE.group]
        return [one.count for one in hole] == [WAITING] and "answer" in hole[0].cause

    story.claim(
        "queue shows all of the black hole's mail in one line, and that nothing answers there",
        soon(is_told, TOLD_S, 0.5) is not None,
        f"{[(one.cause, one.count) for one in hole]}",
    )
    told = queue(stage.home)
    slots = told.slots
    story.claim("slots are within their bound", slots.used <= slots.all, f"{slots}")
    lines = [one for one in stage.actors.visits(*pits) if not one.end]
    most = max((sum(one.ip == ip for one in lines) for ip in pits), default=0)
    story.claim("no tarpit holds more than its share", most <= 4, f"{most} lines at one")
    story.claim(
        "what is for tarpits and black hole waits, all of it",
        told.waiting == len(mud) + len(gone),
        f"{told.waiting} of {len(mud) + len(gone)}",
    )


def _flow(stage: Stage, seconds: float) -> "list[Sent]":
    with flowing(stage.world.home, stage.port, ["zoe@well-tea.example"], every_s=EVERY_S) as flow:
        soon(lambda: _lasted(flow, seconds), seconds + 5)
    return flow.sent


def _lasted(flow: Flow, seconds: float) -> bool:
    return bool(flow.sent) and time.time() - flow.sent[0].at > seconds


def _p99(stage: Stage, sent: Sequence[Sent]) -> float | None:
    """The delay that 99 of 100 stay below; None while one has not arrived."""

    def at() -> dict[str, float]:
        return {one.message_id: one.at for one in stage.actors.letters(*WELL.addresses)}

    soon(lambda: all(one.message_id in at() for one in sent), 15)
    arrived = at()
    delays = sorted(arrived.get(one.message_id, float("inf")) - one.at for one in sent)
    p99 = delays[int(len(delays) * 0.99) - 1] if delays else float("inf")
    return None if p99 == float("inf") else p99


REPERTOIRE = Repertoire("S10: tarpits hold lines", CAST, (tarpits,), SETTINGS, has_relay=False)
