"""The tree walk: which records stand above a name, and where its organisation begins.

RFC 9989 §4.10 tells the walk as one question after another. Here the names that are still open are
asked together and read in the same order, so that what lies behind the walk's end never counts; a
message costs two or three rounds instead of up to eight. Walks of one message share their answers.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from postern.mail.dmarc.names import MAX_NAME_BYTES, is_below, one_below, walk_names
from postern.mail.dmarc.record import Psd, Record, parse_record
from postern.mail.dns import Answer, Inquiry, Question, Status


@dataclass(frozen=True, slots=True)
class Spot:
    """What was seen at one name's ``_dmarc``.

    ``record`` is None where there is none or more than one. ``is_known`` False: couldn't tell.
    ``exists`` True: something lies under the name, so it exists (RFC 8020); False says nothing.
    """

    record: Record | None = None
    is_known: bool = True
    exists: bool = False

    @property
    def ends_walk(self) -> bool:
        """True when a walk goes no further than here (RFC 9989 §4.10 steps 2 and 6)."""
        return self.record is not None and self.record.psd is not Psd.UNSAID


@dataclass(frozen=True, slots=True)
class Organisation:
    """Where a domain's organisation begins, and the record that applies below it.

    ``policy`` is the organisational domain's own record or else its public suffix's (RFC 9989
    §4.10.1), found at ``policy_domain``; None where neither has one. ``doubts`` are the names whose
    answer is missing: with any, this is how it looks without them.
    """

    domain: str
    policy_domain: str = ""
    policy: Record | None = None
    doubts: tuple[str, ...] = ()


class Tree:
    """What is known of ``_dmarc`` records, by name; nothing is asked twice."""

    __slots__ = ("_spots",)

    def __init__(self) -> None:
        self._spots: dict[str, Spot] = {}

    def at(self, name: str) -> Spot:
        """What was seen at a name; nothing where it was never asked for."""
        return self._spots.get(name, Spot())

    def look_up(self, names: Iterable[str]) -> Inquiry[None]:
        """Ask for these names' records, all at once, where they are not known yet."""
        open_names: list[str] = []
        for name in dict.fromkeys(names):
            if name in self._spots:
                continue
            if len(name) + len("_dmarc.") > MAX_NAME_BYTES:
                self._spots[name] = Spot()  # no such name can be published
            else:
                open_names.append(name)
        if open_names:
            answers = yield tuple(Question(f"_dmarc.{name}", "TXT") for name in open_names)
            for name, answer in zip(open_names, answers, strict=True):
                self._spots[name] = _spot(answer)

    def still_open(self, domain: str) -> list[str]:
        """The names a walk from ``domain`` needs: none behind an end that is known already."""
        names: list[str] = []
        for name in walk_names(domain):
            names.append(name)
            if self.at(name).ends_walk:
                break
        return names

    def walk(self, domain: str) -> Inquiry[Organisation]:
        """Walk from ``domain`` towards the root."""
        yield from self.look_up(self.still_open(domain))
        return self.organisation(domain)

    def organisation(self, domain: str) -> Organisation:
        """The organisation of a domain whose walk was asked for (RFC 9989 §4.10.2).

        ``psd=n`` is the organisation's own word; ``psd=y``, except where the walk began, puts it
        one label below; else it is the shortest name with a record, or the domain itself.
        """
        shortest = ""
        doubts: list[str] = []
        for name in walk_names(domain):
            spot = self.at(name)
            if not spot.is_known:
                doubts.append(name)
            if spot.record is None:
                continue
            if spot.record.psd is Psd.YES and name != domain:
                return self._below_suffix(one_below(domain, name), name, doubts)
            shortest = name
            if spot.ends_walk:
                break
        if not shortest:
            return Organisation(domain, doubts=tuple(doubts))
        return Organisation(shortest, shortest, self.at(shortest).record, tuple(doubts))

    def exists(self, domain: str) -> Inquiry[bool | None]:
        """Whether a name exists: not so only for NXDOMAIN (RFC 9989 §3.2.13, A.4).

        None: couldn't tell. Often something under the name was seen already, and nothing is asked.
        """
        if self.at(domain).exists:
            return True
        # Any type would do. A is asked because some servers answer NXDOMAIN to types they don't
        # know, AAAA among them.
        (answer,) = yield (Question(domain, "A"),)
        return answer.status is not Status.NO_NAME if answer.status.is_known else None

    def _below_suffix(self, domain: str, suffix: str, doubts: list[str]) -> Organisation:
        """An organisation right under a public suffix: its own record goes first."""
        at = suffix if self.at(domain).record is None else domain
        return Organisation(domain, at, self.at(at).record, tuple(doubts))


def surely_one(one: Organisation, other: Organisation) -> bool:
    """True when two walks met in one organisation, whatever the missing answers would have said.

    Both walks pass every name above the place where they met, so whatever stands at one of those
    would move both to the same other place.
    """
    doubts = (*one.doubts, *other.doubts)
    return one.domain == other.domain and all(is_below(one.domain, doubt) for doubt in doubts)


def _spot(answer: Answer) -> Spot:
    """What one answer says. Several records are none (RFC 9989 §4.10 steps 2 and 6)."""
    if not answer.status.is_known:
        return Spot(is_known=False)
    found = [record for text in answer.records if (record := parse_record(text)) is not None]
    return Spot(found[0] if len(found) == 1 else None, exists=answer.status is not Status.NO_NAME)
