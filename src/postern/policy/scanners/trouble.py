"""What an error on the way to a scanner means, with the limit that was met."""

import asyncio
import errno

import structlog

from postern.policy.scanners.scan import UnreadableError, Untold
from postern.policy.scanners.settings import Kind, ScannerSettings
from postern.runtime.clock import Clock
from postern.runtime.shortage import no_connection, no_process

log = structlog.get_logger("postern.scanner")

REMEMBERED_S = 2.0
"""When processes run out everything fails at once, and all of it for the same reason."""
_CLOSED = frozenset({errno.ECONNRESET, errno.EPIPE})
_OF_A_THREAD = "can't start new thread"


class Troubles:
    """Explains one scanner's errors; an explanation holds for a moment."""

    def __init__(self, settings: ScannerSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._told: dict[str, tuple[float, str]] = {}

    async def explain(self, error: Exception) -> Untold:
        """What ``scan`` or ``ping`` raised, in words."""
        is_command = self._settings.kind is Kind.COMMAND
        cause = "it could not be started" if is_command else "it could not be reached"
        if isinstance(error, EOFError):
            return Untold("it hung up without an answer", str(error))
        if isinstance(error, UnreadableError):
            return Untold("our own disk could not read the message", str(error), is_ailing=False)
        if isinstance(error, RuntimeError) and _OF_A_THREAD in str(error):
            no_thread = OSError(errno.EAGAIN, "")
            return Untold(cause, await self._detail(no_thread, is_of_processes=True))
        if not isinstance(error, OSError):
            log.error("scanner.bug", scanner=self._settings.name, exc_info=error)
            return Untold("an error of our own", type(error).__name__)
        if error.errno in _CLOSED:
            return Untold("it hung up in the middle", errno.errorcode[error.errno])
        return Untold(cause, await self._detail(error, is_of_processes=is_command))

    async def _detail(self, error: OSError, *, is_of_processes: bool) -> str:
        now, key = self._clock.monotonic(), f"{error.errno} {error}"
        at, text = self._told.get(key, (-REMEMBERED_S, ""))
        if now - at < REMEMBERED_S:
            return text
        try:
            text = await asyncio.to_thread(self._look, error, is_of_processes=is_of_processes)
        except RuntimeError:  # no thread either: the same limit, and worth the loop's time
            text = self._look(error, is_of_processes=is_of_processes)
        self._told = {key: (now, text)}
        return text

    def _look(self, error: OSError, *, is_of_processes: bool) -> str:
        if is_of_processes:
            return no_process(error)
        return no_connection(error, str(self._settings.place))
