"""Short ways to say a job, a route, settings."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

from postern.delivery.job import Job
from postern.delivery.pool import Pool
from postern.delivery.settings import DeliverySettings
from postern.mail.address import Address
from postern.mail.content import BytesContent, Content
from postern.mail.envelope import Recipient, Sender
from postern.mail.paths import Observation, Path, Sign
from postern.mail.route import Egress, SmtpRoute, Target, TlsDemand, TlsPolicy, Way
from postern.runtime.clock import FakeClock

BODY = b"Subject: hello\r\n\r\none\r\n.two\r\n"


@dataclass(frozen=True)
class Streamed:
    """Content made up as it is read: ``count`` times ``piece``, each moving ``clock`` on."""

    piece: bytes
    count: int
    error_after: int = -1
    clock: FakeClock | None = None
    seconds_per_piece: float = 0.0

    @property
    def size_bytes(self) -> int:
        return len(self.piece) * self.count

    @property
    def in_memory(self) -> None:
        return None

    async def chunks(self) -> AsyncIterator[bytes]:
        for number in range(self.count):
            if number == self.error_after:
                raise OSError(5, "Input/output error")
            if self.clock is not None:
                self.clock.advance(self.seconds_per_piece)
            yield self.piece


def job(*locals_: str, content: Content | None = None, sender: Sender | None = None) -> Job:
    recipients = tuple(Recipient(Address(local, "peer.test")) for local in locals_ or ("bob",))
    return Job(
        "PT-1",
        sender or Sender(Address("ann", "us.test")),
        recipients,
        content or BytesContent(BODY),
    )


def route(
    *targets: Target,
    tls: TlsPolicy = TlsPolicy.OPPORTUNISTIC,
    egress: Egress | None = None,
) -> tuple[Way, ...]:
    demanding = tuple(replace(target, tls=TlsDemand(tls)) for target in targets)
    return SmtpRoute("peer.test", egress or Egress("direct"), demanding).ways


def settings(**changes: object) -> DeliverySettings:
    values: dict[str, object] = {"helo": "us.test", "tick_s": 0.02, "quit_timeout_s": 1.0}
    return DeliverySettings(**(values | changes))  # type: ignore[arg-type]  # a test's shorthand


class Watch:
    """Remembers what it is told of paths."""

    def __init__(self) -> None:
        self.seen: list[Observation] = []
        self.losers: list[Path] = []
        self.answering: dict[int, float] = {}

    def saw(self, observation: Observation) -> None:
        self.seen.append(observation)

    def answers(self, path: Path, since: float) -> bool:
        return self.answering.get(path.port, -1.0) >= since

    def lost(self, path: Path) -> None:
        self.losers.append(path)

    def signs(self, target: Target | None = None) -> list[tuple[Sign, bool]]:
        """What was seen, of one target or of all, and whether it was final."""
        port = None if target is None else target.port
        return [(o.sign, o.is_final) for o in self.seen if port in {None, o.path.port}]


async def until(condition: object, within_s: float = 10.0) -> None:
    """Wait for a condition (a callable) to hold; let the loop run meanwhile."""
    assert callable(condition)
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event to await
            await asyncio.sleep(0.005)


class Looks:
    """Counts how often a pool looks at the time: what was due then has been acted on."""

    def __init__(self, pool: Pool[Any]) -> None:
        self._count = 0
        pool.attend(self)

    def look(self, _now: float) -> None:
        self._count += 1

    async def some(self) -> None:
        """Wait for three: what one look has begun, the next ones see."""
        enough = self._count + 3
        await until(lambda: self._count >= enough)
