"""``sendmail`` as programs know it: flags of sendmail(8), the message on stdin.

The message goes by SMTP through the server's own unix socket, where the kernel says who we are. A
server that is down, or refuses for now, is exit 75 (EX_TEMPFAIL): nothing was sent, try again.

Installed as ``/usr/sbin/sendmail``, ``mailq`` and ``newaliases`` by symbolic links to ``postern``.
"""

import getopt
import os
import pwd
import select
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO

from postern.cli.sendmail_client import Dialogue, Envelope, Report, converse
from postern.cli.sendmail_message import Prepared, prepare
from postern.config.load import load
from postern.config.problems import ConfigError
from postern.config.settings import Config

EX_USAGE = 64
EX_DATAERR = 65
EX_NOUSER = 67
EX_UNAVAILABLE = 69
EX_TEMPFAIL = 75
EX_CONFIG = 78

# As Postfix reads them; a colon takes a value. What only made sense to sendmail itself is ignored.
FLAGS = "A:B:C:F:GIL:N:O:R:UV:X:b:ce:f:h:imno:p:r:q:tv"
BLOCK_BYTES = 65536
MEMORY_BYTES = 1_000_000

_NOTHING_TO_DO = {
    "i": "aliases live in the directory: see 'postern alias'",
    "q": "the queue runs by itself: see 'postern queue'",
}
_RETURNS = {"full": "FULL", "hdrs": "HDRS"}


@dataclass(slots=True)
class Options:
    """What the command line asked for."""

    mode: str = "m"
    sender: str | None = None
    full_name: str = ""
    reads_recipients: bool = False
    dot_ends: bool = True
    notify: str = ""
    returns: str = ""
    envelope_id: str = ""
    recipients: list[str] = field(default_factory=list)


class UsageError(Exception):
    """The command line cannot be understood."""


def main(arguments: list[str]) -> int:
    """Run ``sendmail``; returns an exit code of sysexits.h."""
    try:
        options = parse(arguments)
    except UsageError as error:
        return complain(str(error), EX_USAGE)
    if options.mode in _NOTHING_TO_DO:
        print(_NOTHING_TO_DO[options.mode])
        return 0
    try:
        config = load()
    except ConfigError as error:
        return complain(str(error), EX_CONFIG)
    if options.mode == "p":
        from postern.cli.mailq import print_queue  # noqa: PLC0415 - only for -bp

        return print_queue(config)
    place = socket_path(config)
    if place is None:
        return complain('no listener has bind = "unix:run/submit.sock"', EX_CONFIG)
    return relay(place) if options.mode == "s" else submit(options, config, place)


def complain(sentence: str, code: int) -> int:
    """Say on stderr what is wrong."""
    sys.stderr.write(f"sendmail: {sentence}\n")
    return code


def parse(arguments: Sequence[str]) -> Options:
    """The command line as sendmail(8) and Postfix read it.

    Raises:
        UsageError: a flag that does not exist, lacks its value, or has one that is not known.
    """
    words = ["-qnow" if word == "-q" else word for word in arguments]
    try:
        flags, recipients = getopt.gnu_getopt(words, FLAGS)
    except getopt.GetoptError as error:
        raise UsageError(error.msg) from None
    options = Options(recipients=recipients)
    for flag, value in flags:
        _take(options, flag, value)
    return options


def _take(options: Options, flag: str, value: str) -> None:
    match flag:
        case "-b":
            if value not in {"m", "p", "s", "i"}:
                raise UsageError(f"-b{value} is not served: run 'postern serve' for the server")
            options.mode = value
        case "-f" | "-r":
            options.sender = _without_brackets(value)
        case "-F":
            options.full_name = value
        case "-t":
            options.reads_recipients = True
        case "-i" | "-o":
            # The other -o options only made sense to sendmail itself.
            options.dot_ends = options.dot_ends and flag == "-o" and value != "i"
        case "-q" | "-I":
            options.mode = {"-q": "q", "-I": "i"}[flag]
        case "-N" | "-R" | "-V":
            _take_dsn(options, flag, value)
        case _:
            pass


def _take_dsn(options: Options, flag: str, value: str) -> None:
    """The parameters of RFC 3461."""
    if flag == "-V":
        options.envelope_id = value
    elif flag == "-R":
        if value.lower() not in _RETURNS:
            raise UsageError("-R takes 'full' or 'hdrs'")
        options.returns = _RETURNS[value.lower()]
    else:
        words = {word.strip().upper() for word in value.split(",")}
        if not words <= {"NEVER", "SUCCESS", "FAILURE", "DELAY"} or (
            "NEVER" in words and len(words) > 1
        ):
            raise UsageError("-N takes 'never', or some of 'success,failure,delay'")
        options.notify = ",".join(sorted(words))


def socket_path(config: Config) -> Path | None:
    """The unix socket that local programs hand mail in at."""
    paths = [item.bind.path for item in config.listeners if item.bind.path is not None]
    return paths[0] if paths else None


def submit(options: Options, config: Config, place: Path) -> int:
    """Read the message from stdin and hand it in; returns the exit code."""
    sender = options.sender
    if sender is None:
        sender = f"{login_name()}@{config.hostname}"
    elif sender and "@" not in sender:
        sender = f"{sender}@{config.hostname}"
    with SpooledTemporaryFile(max_size=MEMORY_BYTES) as body:
        prepared = prepare(
            sys.stdin.buffer,
            body,
            dot_ends=options.dot_ends,
            reads_recipients=options.reads_recipients,
            author=f"{options.full_name}\0{sender}",
        )
        named = [*options.recipients, *prepared.recipients]
        recipients = list(dict.fromkeys(_complete(name, config.hostname) for name in named))
        refusal = _why_not(recipients, sender, prepared)
        if refusal:
            return complain(refusal, EX_USAGE if not recipients else EX_DATAERR)
        envelope = Envelope(
            sender=sender,
            recipients=tuple(recipients),
            notify=options.notify,
            returns=options.returns,
            envelope_id=options.envelope_id,
        )
        return hand_in(place, envelope, body, prepared)


def _complete(name: str, hostname: str) -> str:
    plain = _without_brackets(name.strip())
    return plain if "@" in plain else f"{plain}@{hostname}"


def _without_brackets(address: str) -> str:
    is_path = address.startswith("<") and address.endswith(">")
    return address[1:-1] if is_path else address


def _why_not(recipients: Sequence[str], sender: str, prepared: Prepared) -> str:
    if prepared.mistake:
        return prepared.mistake
    if not recipients:
        return "no recipients: name them, or give -t and a To field"
    for address in (sender, *recipients):
        if not address.isprintable() or any(c in address for c in " <>"):
            return f"{address!r} is not an address"
    return ""


def login_name() -> str:
    """The name of the user who runs us."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def hand_in(place: Path, envelope: Envelope, body: IO[bytes], prepared: Prepared) -> int:
    """Send the message through the socket and tell how it went."""
    try:
        with Dialogue(place) as dialogue:
            report = converse(dialogue, envelope, body, prepared)
    except (OSError, EOFError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        return complain(
            f"the server does not take mail at {place}: {reason}; nothing was sent, try again",
            EX_TEMPFAIL,
        )
    for address, reply in report.refused:
        complain(f"{address}: {reply}", 0)
    return verdict(report)


def verdict(report: Report) -> int:
    """The exit code for what the server said, telling why it is not 0."""
    if report.failure is not None:
        code, text = report.failure
        complain(f"{code} {text}", 0)
        return EX_TEMPFAIL if 400 <= code < 500 else EX_UNAVAILABLE
    if not report.refused:
        return 0
    if report.is_sent:
        complain("the other recipients were served", 0)
    if any(400 <= int(reply[:3]) < 500 for _, reply in report.refused):
        return EX_TEMPFAIL
    return EX_NOUSER


def relay(place: Path) -> int:
    """``-bs``: SMTP on stdin and stdout, passed on to the server byte by byte."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        try:
            server.connect(str(place))
        except OSError as error:
            sys.stdout.write("421 4.3.2 the mail server is not running, try again later\r\n")
            return complain(f"{place}: {error.strerror}", EX_TEMPFAIL)
        # poll, because epoll refuses a stdin that is a file.
        waiter = select.poll()
        waiter.register(server, select.POLLIN)
        waiter.register(0, select.POLLIN)
        while True:
            for descriptor, _ in waiter.poll():
                data = os.read(descriptor, BLOCK_BYTES)
                if descriptor == 0:
                    server.sendall(data)
                    if not data:
                        waiter.unregister(0)
                        server.shutdown(socket.SHUT_WR)
                elif data:
                    _write_all(data)
                else:
                    return 0


def _write_all(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]
