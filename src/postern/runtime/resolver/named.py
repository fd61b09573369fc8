"""One named resolver: its servers in turn, in rounds, within what time it is given."""

import asyncio
import ssl
from dataclasses import replace

from postern.mail.dns import Answer, Status
from postern.runtime.clock import Clock
from postern.runtime.resolver.exchange import Failure, exchange
from postern.runtime.resolver.health import Health
from postern.runtime.resolver.settings import ResolverSettings, Server, Transport
from postern.runtime.resolver.wire import Query

SHUNNED_S = 30.0
"""A silent server is asked last for so long: else each new question would wait for it first."""


class NamedResolver:
    """``home``, ``abroad``: asks its servers one after another until one knows.

    ``is_trusted``: what it says of DNSSEC is believed.
    """

    def __init__(
        self, settings: ResolverSettings, clock: Clock, *, is_trusted: bool = False
    ) -> None:
        self.name = settings.name
        self._settings = settings
        self._clock = clock
        self._is_trusted = is_trusted
        self._shunned_until: dict[Server, float] = {}
        self.health = Health(clock)
        self._tls: ssl.SSLContext | None = None
        if settings.transport is Transport.TLS:
            self._tls = ssl.create_default_context(cafile=settings.tls_ca_file or None)

    @property
    def first_try_s(self) -> float:
        """Time limit of the first try: what another resolver must leave it to be of use."""
        return self._settings.tries_s[0] if self._settings.tries_s else 0.0

    async def ask(
        self, query: Query, budget_s: float, *, first: int = 0, last: int | None = None
    ) -> Answer:
        """An answer within ``budget_s``: a fact, or why none was had.

        A server that said it failed, or where nobody listens, is not asked twice; a silent one is,
        in the next round. Silence everywhere is a time-out, anything else a server failure.

        Args:
            query: what is asked.
            budget_s: for all of it.
            first: the round to begin with.
            last: the round before which to stop; None: all there are.
        """
        answer = await self._ask_in_rounds(query, budget_s, self._settings.tries_s[first:last])
        if answer.status.is_known:
            self.health.knew()
        else:
            self.health.knew_nothing(query.question)
        return answer

    async def _ask_in_rounds(
        self, query: Query, budget_s: float, tries_s: tuple[float, ...]
    ) -> Answer:
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + budget_s
        waiting = self._in_order()
        failed = not waiting
        for try_s in tries_s:
            for server in tuple(waiting):
                left_s = ends_at - loop.time()
                if left_s <= 0:
                    break
                result = await self._ask_server(query, server, min(try_s, left_s))
                if result is Failure.SILENT:
                    self._shunned_until[server] = self._clock.monotonic() + SHUNNED_S
                    continue
                if isinstance(result, Answer) and result.status.is_known:
                    secure = result.secure and self._is_trusted
                    return replace(result, resolver=self.name, secure=secure)
                failed = True
                waiting.remove(server)
        status = Status.SERVER_FAILURE if failed else Status.TIMEOUT
        return Answer(query.question, status, resolver=self.name)

    async def _ask_server(self, query: Query, server: Server, timeout_s: float) -> Answer | Failure:
        settings = self._settings
        result = await exchange(
            query,
            server,
            settings.transport,
            timeout_s,
            tls=self._tls,
            tls_name=settings.tls_name,
        )
        if isinstance(result, Answer):
            self._shunned_until.pop(server, None)
        return result

    def _in_order(self) -> list[Server]:
        """The servers as configured, those that were silent lately last."""
        if not self._shunned_until:
            return list(self._settings.servers)
        now = self._clock.monotonic()
        shunned = {server for server, until in self._shunned_until.items() if until > now}
        return sorted(self._settings.servers, key=lambda server: server in shunned)
