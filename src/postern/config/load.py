"""Finds, reads and checks the configuration."""

import os
import socket
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from postern.config.checks import doubts
from postern.config.decode import Toml, decode
from postern.config.doubts import Doubt
from postern.config.lines import Key, Position, key_positions
from postern.config.problems import ConfigError, Problem, Severity, key_text
from postern.config.settings import Config, Listener
from postern.config.tomltext import MAX_FILE_BYTES, syntax_place

ENVIRONMENT = "POSTERN_CONFIG"
SYSTEM_FILE = Path("/etc/postern/postern.toml")


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome of a check: a configuration unless one of ``problems`` is an error."""

    config: Config | None
    problems: tuple[Problem, ...]


@dataclass(slots=True)
class _Merged:
    """One table made of several files, and where each key of it stands."""

    table: dict[str, Toml] = field(default_factory=dict)
    places: dict[Key, tuple[Path, Position]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def find(path: Path | None) -> Path | None:
    """The main file: ``path``, $POSTERN_CONFIG, ./postern.toml, /etc/postern/postern.toml.

    A file that is named need not exist: naming it wrongly is a mistake to tell, not to pass over.
    """
    if path is not None:
        return path.absolute()
    if named := os.environ.get(ENVIRONMENT):
        return Path(named).absolute()
    candidates = (Path("postern.toml").absolute(), SYSTEM_FILE)
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def load(path: Path | None = None) -> Config:
    """The configuration, with every default filled in and every path absolute.

    Args:
        path: the file; None looks in the usual places (see ``find``).

    Raises:
        ConfigError: it cannot be used; tells every mistake with file, line, key and fix.
    """
    checked = check(path)
    if checked.config is None:
        raise ConfigError(checked.problems)
    return checked.config


def check(path: Path | None = None) -> Checked:
    """Read the configuration and tell everything that is wrong with it."""
    main = find(path)
    if main is None:
        looked = f"./postern.toml, {SYSTEM_FILE}"
        text = f"there is no configuration; looked at ${ENVIRONMENT}, {looked}"
        return Checked(None, (Problem(text, fix="postern --config FILE names another place"),))
    merged = _Merged()
    for file in (main, *sorted((main.parent / "conf.d").glob("*.toml"))):
        _read_into(merged, file)
    if merged.problems:
        return Checked(None, tuple(merged.problems))
    config, mistakes = decode(merged.table, main.parent)
    if config is None:
        return Checked(
            None,
            tuple(_place(merged, main, Problem(m.text, key=m.key, fix=m.fix)) for m in mistakes),
        )
    config = _complete(config, main)
    problems = tuple(_problem(merged, main, doubt) for doubt in doubts(config))
    failed = any(problem.severity is Severity.ERROR for problem in problems)
    return Checked(None if failed else config, problems)


def _complete(config: Config, main: Path) -> Config:
    """Fill in what depends on the machine or on other settings."""
    data_dir = main.parent / config.data_dir
    return msgspec.structs.replace(
        config,
        source=main,
        data_dir=data_dir,
        hostname=config.hostname or socket.gethostname(),
        listeners=tuple(_below(data_dir, listener) for listener in config.listeners),
    )


def _below(data_dir: Path, listener: Listener) -> Listener:
    if listener.bind.path is None:
        return listener
    bind = msgspec.structs.replace(listener.bind, path=data_dir / listener.bind.path)
    return msgspec.structs.replace(listener, bind=bind)


def _read_into(merged: _Merged, file: Path) -> None:
    try:
        with file.open("rb") as opened:
            raw = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        merged.problems.append(Problem(f"cannot be read: {error.strerror}", file))
        return
    if len(raw) > MAX_FILE_BYTES:
        merged.problems.append(Problem(f"larger than {MAX_FILE_BYTES} bytes", file))
        return
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        merged.problems.append(Problem("expected UTF-8", file, Position(line, 1)))
        return
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        merged.problems.append(_syntax(str(error), file, text))
        return
    except RecursionError:
        merged.problems.append(Problem("nested too deeply", file))
        return
    positions = key_positions(text)
    _merge(merged, merged.table, table, (), (), {k: (file, p) for k, p in positions.items()})


def _syntax(message: str, file: Path, text: str) -> Problem:
    sentence, position = syntax_place(message, text)
    return Problem(f"not TOML: {sentence}", file, position)


def _merge(
    merged: _Merged,
    into: dict[str, Toml],
    table: dict[str, Toml],
    old: Key,
    new: Key,
    places: dict[Key, tuple[Path, Position]],
) -> None:
    """Add ``table`` to ``into``: tables are joined, arrays of tables appended, the rest is new.

    ``old`` is the key of ``table`` in its own file, whose ``places`` are given; ``new`` is its key
    in the merged whole.
    """
    for name, value in table.items():
        here, there = (*old, name), (*new, name)
        present = into.get(name)
        if isinstance(value, dict) and isinstance(present, dict):
            _merge(merged, present, value, here, there, places)
        elif _is_tables(value) and _is_tables(present):
            assert isinstance(value, list)
            assert isinstance(present, list)
            for number, element in enumerate(value):
                _copy_places(merged, (*here, number), (*there, len(present)), places)
                present.append(element)
        elif name in into:
            first = merged.places.get(there)
            file, position = places.get(here, (None, None))
            where = f"{first[0]}:{first[1].line}" if first else "another file"
            merged.problems.append(
                Problem(f"set already in {where}", file, position, there, "keep one of the two")
            )
        else:
            into[name] = value
            _copy_places(merged, here, there, places)


def _is_tables(value: Toml) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value)


def _copy_places(
    merged: _Merged, old: Key, new: Key, places: dict[Key, tuple[Path, Position]]
) -> None:
    depth = len(old)
    for key, place in places.items():
        if key[:depth] == old:
            merged.places[(*new, *key[depth:])] = place


def _problem(merged: _Merged, main: Path, doubt: Doubt) -> Problem:
    problem = Problem(doubt.text, key=doubt.key, fix=doubt.fix, severity=doubt.severity)
    if doubt.place is None:
        return _place(merged, main, problem)
    return replace(problem, file=doubt.place[0], position=doubt.place[1])


def _place(merged: _Merged, main: Path, problem: Problem) -> Problem:
    """Point the problem to its key, or to the nearest table around it."""
    key = problem.key
    while key and key not in merged.places:
        key = key[:-1]
    file, position = merged.places.get(key, (main, None))
    return Problem(problem.text, file, position, problem.key, problem.fix, problem.severity)


def problem_to_json(problem: Problem) -> dict[str, str | int | None]:
    """The problem with stable keys, for ``--json``."""
    return {
        "file": str(problem.file) if problem.file else None,
        "line": problem.position.line if problem.position else None,
        "column": problem.position.column if problem.position else None,
        "key": key_text(problem.key),
        "severity": problem.severity.value,
        "text": problem.text,
        "fix": problem.fix,
    }
