"""The TLS handshake on an open connection: what comes of it, as values."""

import asyncio
import ssl
from dataclasses import dataclass

from postern.delivery.settings import DeliverySettings
from postern.delivery.tls import Handshake, session_text
from postern.mail.outcome import Cause
from postern.mail.paths import Sign
from postern.mail.tlsrpt import TlsResult, result_of_verification


@dataclass(frozen=True, slots=True)
class Secured:
    """TLS is on. ``text``: the session in words; ``result``: what reports call it."""

    transport: asyncio.Transport
    text: str
    result: TlsResult | None = None


@dataclass(frozen=True, slots=True)
class Unsecured:
    """There is no TLS, or not with whom it must be. ``words`` follow the host's name.

    ``text``: the session in words, where there was one.
    """

    sign: Sign
    words: str
    result: TlsResult | None = None
    text: str = ""


async def shake_hands(
    transport: asyncio.Transport,
    protocol: asyncio.Protocol,
    handshake: Handshake,
    step: asyncio.Timeout,
    most_s: float,
) -> Secured | Unsecured:
    """Shake hands, and look who it is.

    Args:
        transport: the line, in clear.
        protocol: who is served through it.
        handshake: how.
        step: what ends it in time.
        most_s: it is ended before this.
    """
    try:
        async with step:
            secured = await asyncio.get_running_loop().start_tls(
                transport,
                protocol,
                handshake.context,
                server_hostname=handshake.server_name,
                ssl_handshake_timeout=2 * most_s,  # ours comes first, and says it better
            )
    except TimeoutError:
        words = f"did not finish the TLS handshake in {most_s:.0f} s"
        return Unsecured(Sign.TLS_STALLED, words)
    except ssl.SSLCertVerificationError as error:
        words = f"has a certificate we cannot accept: {error.verify_message}"
        return Unsecured(Sign.UNTRUSTED, words, result_of_verification(error.verify_code))
    except (OSError, ValueError) as error:
        return Unsecured(_sign_of(error), f"broke the TLS handshake: {_reason(error)}")
    # uvloop hands out a transport without a session where we ourselves gave up meanwhile.
    session = secured.get_extra_info("ssl_object") if secured is not None else None
    if secured is None or session is None:
        return Unsecured(Sign.TLS_CUT, "closed the connection in the TLS handshake")
    text = session_text(session)
    flaw = None if handshake.vet is None else handshake.vet(session)
    if flaw is not None and not handshake.only_reports:
        return Unsecured(Sign.UNTRUSTED, flaw.words, flaw.result, text)
    result = None if flaw is None else flaw.result
    return Secured(secured, text, result)


def of_stall(waited_s: float, settings: DeliverySettings) -> tuple[Sign, Cause]:
    """What a STARTTLS means that did not come to its end in so many seconds after the greeting.

    It may have had little time, where the session was nearly over: nobody knows then.
    """
    if waited_s < min(settings.tls_timeout_s, settings.session_budget_s / 2):
        return Sign.SLOW, Cause.SILENT
    return Sign.TLS_STALLED, Cause.TLS


def _sign_of(error: OSError | ValueError) -> Sign:
    """A server says what it minds, in an alert; whoever cuts the line may be anybody on it."""
    is_cut = isinstance(error, ConnectionError | ssl.SSLEOFError | ssl.SSLZeroReturnError)
    return Sign.TLS_CUT if is_cut else Sign.TLS_BROKEN


def _reason(error: OSError | ValueError) -> str:
    """An error of the TLS library in a few words."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return str(error) or type(error).__name__
