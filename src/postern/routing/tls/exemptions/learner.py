"""Learns where TLS does not work: from what attempts showed of an address, never from a probe.

Delivery goes on in clear at an address only where nobody asks for more, after TLS was refused,
broken or stalled there and every other way failed too. Where that got the message through, the next
one need not wait for the same: the address is exempted for a week, and tested again meanwhile.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from postern.mail.paths import Observation, Path, Sign
from postern.routing.tls.exemptions.book import ExemptionBook
from postern.routing.tls.exemptions.exemption import Place

TOGETHER_S = 900.0
"""Longer than one attempt lasts: trouble with TLS, and clear text that got through after it."""
MAX_TROUBLES = 5_000
MAX_LESSONS = 1_000
"""Not yet written down; what is beyond that will show again."""

_WORDS = {
    Sign.TLS_REFUSED: "refused to start TLS",
    Sign.TLS_STALLED: "did not go on after STARTTLS",
    Sign.TLS_BROKEN: "broke off the TLS handshake",
    Sign.TLS_CUT: "cut the line in STARTTLS",
}


@dataclass(frozen=True, slots=True)
class Lesson:
    """An address to exempt, and why in words."""

    place: Place
    reason: str


class TlsLearner:
    """For one worker, on its event loop. A ``PathListener``.

    Args:
        book: what is exempted already; it is told of uses.
        learnt: called when there is something to write down; must not block.
    """

    def __init__(self, book: ExemptionBook, learnt: Callable[[], None]) -> None:
        self._book = book
        self._learnt = learnt
        self._troubles: OrderedDict[tuple[str, str, int], Observation] = OrderedDict()
        self._lessons: dict[str, Lesson] = {}

    def saw(self, seen: Observation) -> None:
        """Take note of what showed of a path."""
        path = seen.path
        if path.encrypted:
            if seen.sign.is_tls and not seen.is_probe:
                self._note(seen)
            elif seen.sign is Sign.ANSWERED and self._troubles:
                self._troubles.pop(_key(path), None)
        elif seen.sign is Sign.ANSWERED and not seen.is_probe:
            self._answered_in_clear(seen)

    def take(self) -> list[Lesson]:
        """What is to be written down since the last call."""
        taken = list(self._lessons.values())
        self._lessons.clear()
        return taken

    def _note(self, seen: Observation) -> None:
        key = _key(seen.path)
        self._troubles[key] = seen
        self._troubles.move_to_end(key)
        if len(self._troubles) > MAX_TROUBLES:
            self._troubles.popitem(last=False)

    def _answered_in_clear(self, seen: Observation) -> None:
        exemption = self._book.of(seen.path.ip)
        if exemption is not None:
            self._book.was_used(exemption)
            return
        trouble = self._troubles.pop(_key(seen.path), None)
        if trouble is None or seen.at - trouble.at > TOGETHER_S:
            return
        if len(self._lessons) < MAX_LESSONS:
            ip = seen.path.ip
            place = Place(ip, seen.host, seen.path.port, seen.path.egress)
            self._lessons[ip] = Lesson(place, _in_words(trouble))
            self._learnt()


def _key(path: Path) -> tuple[str, str, int]:
    return path.egress, path.ip, path.port


def _in_words(trouble: Observation) -> str:
    """``mx1.provider.example did not go on after STARTTLS (20 s), and no other way was left``."""
    what = _WORDS.get(trouble.sign, trouble.sign.value)
    host = trouble.host or trouble.path.ip
    said = f": {trouble.text}" if trouble.sign is Sign.TLS_REFUSED and trouble.text else ""
    return f"{host} {what} ({trouble.seconds:.0f} s){said}, and no other way got through"
