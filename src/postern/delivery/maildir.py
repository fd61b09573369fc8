"""Local delivery: a message into our own Maildir, durable before it counts as delivered."""

import asyncio
import errno
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from postern.delivery.attempt import WayName, records
from postern.delivery.job import Job, JobResult
from postern.delivery.maildir_store import Draft, Folder, MaildirStore, parse_home
from postern.mail.content import Content
from postern.mail.envelope import Recipient, Sender
from postern.mail.finding import Whose
from postern.mail.outcome import Cause, Delivered, Outcome
from postern.mail.reply import reply
from postern.mail.route import MaildirRoute
from postern.mail.smtp.client_outcomes import own_words
from postern.runtime.clock import Clock

EGRESS = "maildir"
"""What local deliveries are called on record."""

_SENTENCES = {
    errno.ENOSPC: "The disk with the mailboxes is full",
    errno.EDQUOT: "The disk quota of the mailboxes is used up",
    errno.EROFS: "The disk with the mailboxes is read-only",
    errno.EACCES: "Postern may not write to this mailbox",
    errno.EPERM: "Postern may not write to this mailbox",
    errno.ELOOP: "A symbolic link is in the way of this mailbox",
    errno.ENOTDIR: "A file or a link is in the way of this mailbox",
    errno.EIO: "The disk with the mailboxes fails",
    errno.EMFILE: "Postern has too many files open",
    errno.ENAMETOOLONG: "The mailbox's name is too long for this disk",
}


def _nobody_asks(_home: str) -> None:
    """Nobody keeps figures of how full mailboxes are."""


class MaildirDelivery:
    """Writes messages below ``root``; see ``maildir_store`` for how.

    At most ``threads`` messages are written at a time. ``filled`` is told which mailbox got one.
    """

    def __init__(
        self,
        root: Path,
        hostname: str,
        clock: Clock,
        *,
        threads: int = 4,
        filled: Callable[[str], None] = _nobody_asks,
    ) -> None:
        self._store = MaildirStore(root, hostname, clock)
        self._filled = filled
        self._clock = clock
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="maildir")
        self._turns = asyncio.Semaphore(threads)

    async def deliver(
        self, route: MaildirRoute, job: Job, folder: Folder = Folder.INBOX
    ) -> JobResult:
        """Put the message into the mailbox once for each recipient.

        ``Return-Path`` and ``Delivered-To`` are prepended; nothing else is changed or removed.
        """
        outcomes: list[Outcome] = []
        at, began = self._clock.now(), self._clock.monotonic()
        for recipient in job.recipients:
            async with self._turns:
                outcomes.append(await self._deliver_one(route, job, recipient, folder))
        if not outcomes:
            return JobResult((), ())
        seconds = self._clock.monotonic() - began
        way = WayName(EGRESS, route.group, "")
        return JobResult(tuple(outcomes), records(way, at, seconds, "", outcomes))

    async def close(self, grace_s: float) -> None:
        """Let what is being written finish, for at most ``grace_s``."""
        loop = asyncio.get_running_loop()
        done = loop.run_in_executor(None, self._threads.shutdown)
        await asyncio.wait([done], timeout=grace_s)

    async def _deliver_one(
        self, route: MaildirRoute, job: Job, recipient: Recipient, folder: Folder
    ) -> Outcome:
        home = parse_home(route.home)
        if home is None:
            return own_words(Cause.LOCAL, "The mailbox has no safe folder name", Whose.US)
        head = delivery_header(job.sender, recipient)
        try:
            await self._write(home, head, job.content, folder)
        except OSError as error:
            sentence = _SENTENCES.get(error.errno or 0) or (
                f"The mailbox could not be written: {error.strerror or error}"
            )
            return own_words(Cause.LOCAL, sentence, Whose.US)
        self._filled(route.home)
        return Delivered(reply(250, "2.0.0", "Delivered to mailbox"))

    async def _write(
        self, home: tuple[str, str], head: bytes, content: Content, folder: Folder
    ) -> None:
        loop = asyncio.get_running_loop()
        data = content.in_memory
        if data is not None:
            await loop.run_in_executor(self._threads, self._write_whole, home, head + data, folder)
            return
        draft = await loop.run_in_executor(self._threads, self._store.begin, home, folder)
        try:
            await self._write_pieces(draft, head, content)
        finally:
            await asyncio.shield(loop.run_in_executor(self._threads, draft.close))

    async def _write_pieces(self, draft: Draft, head: bytes, content: Content) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._threads, draft.write, head)
        async for chunk in content.chunks():
            await loop.run_in_executor(self._threads, draft.write, chunk)
        await loop.run_in_executor(self._threads, draft.keep)

    def _write_whole(self, home: tuple[str, str], data: bytes, folder: Folder) -> None:
        draft = self._store.begin(home, folder)
        try:
            draft.write(data)
            draft.keep()
        finally:
            draft.close()


def delivery_header(sender: Sender, recipient: Recipient) -> bytes:
    """``Return-Path`` and ``Delivered-To`` as final delivery adds them (RFC 5321 §4.4).

    An ``Address`` writes controls as ``?``, so neither can start a line of its own.
    """
    return f"Return-Path: <{sender}>\r\nDelivered-To: {recipient.address}\r\n".encode()
