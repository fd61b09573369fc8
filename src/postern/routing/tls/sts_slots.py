"""How many policy servers are asked at once: few of one network, and not too many of all.

Strangers decide how many policies there are and how slowly they are served. Who serves many slowly
must be in nobody's way but his own, so each network has its own few slots, and whoever finds none
within some seconds asks later.
"""

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

AT_ONE_NETWORK = 2
AT_ONCE = 100
WAIT_S = 20.0
IPV4_BITS = 24
IPV6_BITS = 48


class Slots:
    """Belongs to one event loop.

    Args:
        at_one_network: of one IPv4 /24 or IPv6 /48.
        at_once: of all.
        wait_s: how long one waits for a slot at most.
    """

    def __init__(
        self,
        at_one_network: int = AT_ONE_NETWORK,
        at_once: int = AT_ONCE,
        wait_s: float = WAIT_S,
    ) -> None:
        self._at_one_network = at_one_network
        self._wait_s = wait_s
        self._all = asyncio.Semaphore(at_once)
        self._networks: dict[str, asyncio.Semaphore] = {}
        self._users: dict[str, int] = {}

    @asynccontextmanager
    async def taken(self, ip: str) -> AsyncIterator[bool]:
        """Hold a slot for asking at ``ip``, as ``with`` goes; False: there was none in time."""
        network = network_of(ip)
        self._users[network] = self._users.get(network, 0) + 1
        own = self._networks.setdefault(network, asyncio.Semaphore(self._at_one_network))
        held: list[asyncio.Semaphore] = []
        try:
            try:
                async with asyncio.timeout(self._wait_s):
                    # The network's first: who waits for that must not keep one of all from others.
                    for slots in (own, self._all):
                        await slots.acquire()
                        held.append(slots)
            except TimeoutError:
                yield False
                return
            yield True
        finally:
            for slots in held:
                slots.release()
            self._users[network] -= 1
            if not self._users[network]:
                del self._users[network], self._networks[network]


def network_of(ip: str) -> str:
    """The network that counts as one: an IPv4 /24, an IPv6 /48."""
    bits = IPV6_BITS if ":" in ip else IPV4_BITS
    return str(ipaddress.ip_network(f"{ip}/{bits}", strict=False))
