"""How many policy servers are asked at once: few of one address and network, not too many of all.

Strangers decide how many policies there are and how slowly they are served. Who serves many slowly
must be in nobody's way but his own, so each address and each network has its own few slots, and
whoever finds none within some seconds asks later. Neighbours are strangers to each other, so a
network has more than an address.
"""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass

AT_ONE_ADDRESS = 2
AT_ONE_NETWORK = 8
AT_ONCE = 100
WAIT_S = 20.0
IPV4_BITS = 24
IPV6_BITS = 48


class Slots:
    """Belongs to one event loop.

    Args:
        at_one_address: at the same time.
        at_one_network: of one IPv4 /24 or IPv6 /48.
        at_once: of all.
        wait_s: how long one waits for a slot at most.
    """

    def __init__(
        self,
        at_one_address: int = AT_ONE_ADDRESS,
        at_one_network: int = AT_ONE_NETWORK,
        at_once: int = AT_ONCE,
        wait_s: float = WAIT_S,
    ) -> None:
        self._at_one_address = at_one_address
        self._at_one_network = at_one_network
        self._wait_s = wait_s
        self._all = asyncio.Semaphore(at_once)
        self._places: dict[str, _Place] = {}

    @asynccontextmanager
    async def taken(self, ip: str) -> AsyncIterator[bool]:
        """Hold a slot for asking at ``ip``, as ``with`` goes; False: there was none in time."""
        limits = {ip: self._at_one_address, network_of(ip): self._at_one_network}
        held: list[asyncio.Semaphore] = []
        with ExitStack() as stack:
            # Those of all come last: who waits for another must not keep one of them from others.
            places = [stack.enter_context(self._place(*each)).slots for each in limits.items()]
            try:
                try:
                    async with asyncio.timeout(self._wait_s):
                        for slots in (*places, self._all):
                            await slots.acquire()
                            held.append(slots)
                except TimeoutError:
                    yield False
                    return
                yield True
            finally:
                for slots in held:
                    slots.release()

    @contextmanager
    def _place(self, name: str, limit: int) -> Iterator["_Place"]:
        """An address or a network, known while somebody asks there or waits for it."""
        place = self._places.setdefault(name, _Place(asyncio.Semaphore(limit)))
        place.users += 1
        try:
            yield place
        finally:
            place.users -= 1
            if not place.users:
                del self._places[name]


@dataclass(slots=True)
class _Place:
    slots: asyncio.Semaphore
    users: int = 0


def network_of(ip: str) -> str:
    """The network that counts as one: an IPv4 /24, an IPv6 /48."""
    bits = IPV6_BITS if ":" in ip else IPV4_BITS
    return str(ipaddress.ip_network(f"{ip}/{bits}", strict=False))
