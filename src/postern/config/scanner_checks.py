"""What ``[scanner.NAME]`` tables mean beside each other."""

import os
import re
from collections.abc import Iterator
from difflib import get_close_matches

from postern.config.doubts import Doubt, host_port_doubts, warning
from postern.config.inbound import Scanner
from postern.config.lines import Key
from postern.config.places import MAX_SOCKET_PATH_BYTES
from postern.config.settings import Config

KINDS = ("clamd", "rspamd", "spamd", "command")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_SPAM = frozenset({"rspamd", "spamd"})


def scanner_doubts(config: Config) -> Iterator[Doubt]:
    """What does not fit, table by table."""
    for name, scanner in config.scanners.items():
        key: Key = ("scanner", name)
        if not _NAME.fullmatch(name):
            yield Doubt(key, "a scanner's name is letters, digits, - and _, at most 32 of them")
        kind = name if scanner.kind == "auto" else scanner.kind
        if kind not in KINDS:
            nearest = get_close_matches(kind, KINDS, n=1)
            fix = f"did you mean [scanner.{nearest[0]}]?" if nearest else 'add kind = "clamd"'
            yield Doubt(key, f"{name!r} does not say what it is: {', '.join(KINDS)}", fix)
        elif kind == "command":
            yield from _command(scanner, key)
        else:
            yield from _daemon(scanner, kind, key)


def _command(scanner: Scanner, key: Key) -> Iterator[Doubt]:
    if scanner.socket:
        yield Doubt((*key, "socket"), "a command has no socket")
    if not scanner.command:
        text = "a command needs its program and arguments"
        yield Doubt(key, text, 'command = ["/usr/local/bin/scan", "--quiet"]')
    elif not os.path.isabs(scanner.command[0]):  # noqa: PTH117 - a word, which may be no path
        text = f"{scanner.command[0]!r} is not a whole path: there is no shell that would find it"
        yield Doubt((*key, "command"), text)
    elif not os.access(scanner.command[0], os.X_OK):
        yield warning((*key, "command"), f"{scanner.command[0]} is not a program that we may run")
    if both := sorted({*scanner.clean} & {*scanner.found}):
        yield Doubt((*key, "found"), f"{both[0]} cannot mean clean and found")
    if scanner.score is not None:
        yield Doubt((*key, "score"), "a command has no score; its exit code decides")


def _daemon(scanner: Scanner, kind: str, key: Key) -> Iterator[Doubt]:
    if scanner.command:
        yield Doubt((*key, "command"), f"{kind} is not started by us", 'kind = "command"')
    if scanner.score is not None and kind not in _SPAM:
        yield Doubt((*key, "score"), f"{kind} gives no score")
    text = scanner.socket.removeprefix("unix:").removeprefix("http://").removesuffix("/")
    if not text:
        yield Doubt(key, f"where does {kind} listen?", 'socket = "/run/…" or "127.0.0.1:PORT"')
    elif "/" not in text:
        yield from host_port_doubts((*key, "socket"), text)
    elif len(os.fsencode(text)) > MAX_SOCKET_PATH_BYTES:
        most = f"longer than the {MAX_SOCKET_PATH_BYTES} bytes of a socket's path"
        yield Doubt((*key, "socket"), f"{text} is {most}")
