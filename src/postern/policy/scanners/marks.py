"""Fields that say on top of a message what scanners made of it.

``X-Postern-Spam: yes, score=12.4 required=6 by=rspamd symbols=A,B`` for each spam scanner that
counted, ``X-Postern-Unscanned: virus (clamd: it did not answer in time)`` for each that could not.
What came from outside under these names is taken out.
"""

from collections.abc import Iterator, Sequence

from postern.policy.scanners.scan import Answer, Caught, Untold
from postern.policy.scanners.scoring import symbols_of
from postern.policy.scanners.settings import ScannerSettings

_LINE_CHARS = 76


def marks(answers: Sequence[tuple[ScannerSettings, Answer]]) -> bytes:
    """The fields, whole lines."""
    return "".join(_lines(answers)).encode("ascii", "replace")


def _lines(answers: Sequence[tuple[ScannerSettings, Answer]]) -> Iterator[str]:
    for settings, answer in answers:
        if isinstance(answer, Untold):
            why = f"({settings.name}: {answer.cause})"
            yield f"X-Postern-Unscanned: {settings.family}\r\n\t{why}\r\n"
        elif answer.score is not None:
            score = answer.score
            word = "yes" if isinstance(answer, Caught) else "no"
            text = (
                f"X-Postern-Spam: {word}, score={score.value:g} required={score.required:g}"
                f" by={settings.name}"
            )
            yield text + "".join(_folded(symbols_of(score))) + "\r\n"


def _folded(symbols: Sequence[str]) -> Iterator[str]:
    length = 0
    for place, symbol in enumerate(symbols):
        if not place or length + len(symbol) >= _LINE_CHARS:
            # A comma at the end of a line, and never a line of blanks alone.
            lead = "," if place else ""
            word = symbol if place else f"symbols={symbol}"
            yield f"{lead}\r\n\t{word}"
            length = len(word) + 8
        else:
            yield f",{symbol}"
            length += len(symbol) + 1
