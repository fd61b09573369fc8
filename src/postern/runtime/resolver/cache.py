"""Answers kept for as long as their zones allow, and not more of them than fit."""

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, replace

from postern.mail.dns import Answer, Question
from postern.runtime.clock import Clock
from postern.runtime.resolver.forward import is_below

_ENTRY_BYTES = 500
"""Rough cost of an entry beside its texts: values, keys, dictionary slot."""


@dataclass(slots=True)
class _Entry:
    answer: Answer
    until: float  # monotonic
    size_bytes: int


class AnswerCache:
    """A look-up table with time limits; the longest unused answers leave first.

    The byte bound matters beside the entry bound: any stranger can make us ask for 64 kB of TXT.
    """

    def __init__(self, clock: Clock, max_entries: int, max_bytes: int) -> None:
        self._clock = clock
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._entries: OrderedDict[Question, _Entry] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        """Estimate of the memory held."""
        return self._bytes

    def get(self, question: Question) -> Answer | None:
        """The answer while it may be kept, ``ttl_s`` counted down, else None."""
        entry = self._entries.get(question)
        if entry is None:
            return None
        left_s = entry.until - self._clock.monotonic()
        if left_s <= 0:
            self._drop(question)
            return None
        self._entries.move_to_end(question)
        # The answer is made anew at most once a second, not once a look-up: this is the hot path.
        ttl_s = int(left_s)
        if ttl_s < entry.answer.ttl_s:
            entry.answer = replace(entry.answer, ttl_s=ttl_s)
        return entry.answer

    def put(self, answer: Answer, keep_s: float) -> None:
        """Keep ``answer`` for ``keep_s`` seconds; 0 or less keeps nothing."""
        question = answer.question
        self._drop(question)
        size_bytes = _ENTRY_BYTES + len(question.name) + sum(map(len, answer.records))
        if keep_s <= 0 or size_bytes > self._max_bytes:
            return
        until = self._clock.monotonic() + keep_s
        self._entries[question] = _Entry(replace(answer, seconds=0.0), until, size_bytes)
        self._bytes += size_bytes
        while len(self._entries) > self._max_entries or self._bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def forget(self, question: Question) -> None:
        """Forget the answer to this one."""
        self._drop(question)

    def forget_below(self, zones: Collection[str]) -> None:
        """Forget what is known of these zones and of all names in them."""
        for question in [known for known in self._entries if is_below(known.name, zones)]:
            self._drop(question)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._bytes = 0

    def _drop(self, question: Question) -> None:
        entry = self._entries.pop(question, None)
        if entry is not None:
            self._bytes -= entry.size_bytes
