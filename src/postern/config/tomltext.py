"""What every TOML file of ours has in common: how large it may be, and where it is no TOML."""

import re

from postern.config.lines import Position

MAX_FILE_BYTES = 4 * 1024 * 1024

_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def syntax_place(message: str, text: str) -> tuple[str, Position]:
    """The sentence and the place in what ``tomllib`` says of a text that it could not read."""
    place = _PLACE.search(message)
    end = Position(text.count("\n") + 1, 1)
    position = Position(int(place[1]), int(place[2])) if place and place[1] else end
    sentence = _PLACE.sub("", message)
    return f"{sentence[:1].lower()}{sentence[1:]}", position
