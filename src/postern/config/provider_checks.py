"""The site's own table of mail providers: read, and doubted line by line."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

from postern.config.doubts import Doubt
from postern.config.lines import Position, key_positions
from postern.config.problems import ConfigError, Problem
from postern.config.settings import Config
from postern.config.tomltext import MAX_FILE_BYTES, syntax_place
from postern.routing.providers import Providers, shipped, with_own

_SETTING = ("delivery", "providers")


def providers_of(config: Config) -> Providers:
    """The shipped table, with the site's own on top.

    Raises:
        ConfigError: the site's own cannot be used.
    """
    path = config.delivery.providers
    if path is None:
        return shipped()
    wrong = tuple(
        Problem(doubt.text, *(doubt.place or (path, None)), doubt.key, doubt.fix)
        for doubt in provider_doubts(config)
    )
    if wrong:
        raise ConfigError(wrong)
    return with_own(path.read_text("utf-8"))[0]


def provider_doubts(config: Config) -> Iterator[Doubt]:
    """What is wrong with the file that ``[delivery] providers`` names."""
    path = config.delivery.providers
    if path is None:
        return
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            yield Doubt(_SETTING, f"{path} is larger than {MAX_FILE_BYTES} bytes")
            return
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "expected UTF-8"
        yield Doubt(_SETTING, f"{path} cannot be read: {reason}")
        return
    yield from _of_text(path, text)


def _of_text(path: Path, text: str) -> Iterator[Doubt]:
    try:
        _, mistakes = with_own(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        sentence, position = syntax_place(str(error), text)
        yield Doubt((), f"not TOML: {sentence}", place=(path, position))
        return
    if not mistakes:
        return
    positions = key_positions(text)
    for mistake in mistakes:
        key = mistake.key
        while key and key not in positions:
            key = key[:-1]
        place: Position | None = positions.get(key)
        yield Doubt(mistake.key, mistake.text, mistake.fix, place=(path, place))
