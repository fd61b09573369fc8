"""A spam score in words: bounded, and safe to print, whatever the scanner sent."""

import re

from postern.policy.scanners.scan import Answer, Caught, Clean, Score

MAX_SYMBOLS = 12
_SYMBOL = re.compile(r"[A-Za-z0-9_.-]{1,40}")


def judge_score(score: Score, *, is_spam: bool, action: str = "") -> Answer:
    """The answer that a score comes to; ``action`` is what the scanner itself would do."""
    said = f", it says {action!r}" if action else ""
    why = symbols_of(score)
    text = f"it scored {score.value:g} of {score.required:g}{said}"
    text += f" ({', '.join(why)})" if why else ""
    if is_spam:
        return Caught(f"the message looks like spam: {text}", score)
    return Clean(text, score)


def symbols_of(score: Score) -> list[str]:
    """The names of its reasons, the weightiest first, as many as people read."""
    return [name for name in score.symbols if _SYMBOL.fullmatch(name)][:MAX_SYMBOLS]
