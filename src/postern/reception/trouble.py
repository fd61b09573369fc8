"""Errors of our own: what is noted, and what a client is told; always "not now"."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from postern.mail.finding import Effect, Finding, Result, Verdict, Whose
from postern.mail.reply import Reply
from postern.reception import replies
from postern.reception.channel import Channel
from postern.reception.recipients import Decision
from postern.runtime.database.trouble import DatabaseTroubleError

log = structlog.get_logger("postern.reception")


def trouble_of(error: Exception, trace: str, ip: str) -> tuple[Finding, Reply]:
    """Write an error to the log; returns what goes on record, and what the client is told."""
    if isinstance(error, DatabaseTroubleError):
        log.error("reception.database", trace=trace, error=str(error))
        text, answer = "our database did not answer", replies.NO_DATABASE
    else:
        log.error("reception.bug", trace=trace, rip=ip, exc_info=error)
        text, answer = f"an error of our own: {type(error).__name__}", replies.OUR_ERROR
    return Finding("system.overloaded", Result.COULDNT_TELL, text, Whose.US), answer


def couldnt_decide(answer: Reply) -> Decision:
    """A recipient about whom an error of ours kept us from deciding."""
    finding = Finding("rcpt.couldnt-tell", Result.COULDNT_TELL, answer.text, Whose.US)
    return Decision(Verdict(Effect.REFUSE_FOR_NOW, answer, finding))


async def answer_later(
    promise: Awaitable[Reply], channel: Channel, trouble: Callable[[Exception], Reply]
) -> None:
    """Give the promised reply when it is there; an error is answered and journaled.

    So is work that was given up under us: a client that is never answered waits for nothing.
    """
    try:
        answer = await promise
    except asyncio.CancelledError:
        channel.answer(trouble(RuntimeError("the answer was given up")))
        raise
    except Exception as error:  # noqa: BLE001 - answered 451 and journaled
        answer = trouble(error)
    channel.answer(answer)
