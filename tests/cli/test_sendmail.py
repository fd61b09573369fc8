"""``postern sendmail`` against a server on a unix socket."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import pytest

import postern
from postern.cli.mailq import EMPTY, listing
from postern.cli.sendmail import UsageError, parse
from postern.cli.sendmail_message import Prepared, prepare

SOURCE = Path(postern.__file__).parents[1]


@dataclass
class Server:
    """Answers SMTP as told; keeps every command and the message."""

    listener: socket.socket
    replies: dict[str, str] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    message: bytes = b""

    def serve(self) -> None:
        try:
            connection, _ = self.listener.accept()
        except OSError:
            return
        with connection, connection.makefile("rb") as lines:
            connection.sendall(self.replies.get("", "220 mx ESMTP").encode() + b"\r\n")
            for raw in lines:
                command = raw.decode().rstrip("\r\n")
                self.commands.append(command)
                self.answer(connection, lines, command)

    def answer(self, connection: socket.socket, lines: Iterator[bytes], command: str) -> None:
        default = {"EHLO": "250-mx\r\n250-SIZE 50000\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 DSN"}
        default["DATA"] = "354 go on"
        reply = next((r for c, r in self.replies.items() if c and command.startswith(c)), None)
        reply = reply or default.get(command[:4], "250 2.0.0 ok")
        connection.sendall(f"{reply}\r\n".encode())
        if reply.startswith("354"):
            for line in lines:
                if line == b".\r\n":
                    break
                self.message += line
            connection.sendall(self.replies.get(".", "250 2.0.0 PT-0000-0000").encode() + b"\r\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "postern.toml").write_text(
        'hostname = "mx.postern.test"\n[[listener]]\nkind = "submission"\n'
        'bind = "unix:run/submit.sock"\n'
    )
    (tmp_path / "data" / "run").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(folder / "data" / "run" / "submit.sock"))
        listener.listen()
        listener.settimeout(20)
        served = Server(listener)
        thread = threading.Thread(target=served.serve)
        thread.start()
        yield served
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as last:
            last.connect(str(folder / "data" / "run" / "submit.sock"))
        thread.join(20)


def run(folder: Path, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "postern", "sendmail", *arguments],
        input=stdin,
        capture_output=True,
        check=False,
        timeout=60,
        env=os.environ
        | {"PYTHONPATH": str(SOURCE), "POSTERN_CONFIG": str(folder / "postern.toml")},
    )


def test_message_goes_out_with_crlf_and_stuffed_dots(folder: Path, server: Server) -> None:
    done = run(
        folder, "-i", "-f", "li@tea.example", "wang@harbour.example",
        stdin=b"From: li@tea.example\nSubject: x\n\n.\n..two\nend\rof line",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert server.message == (
        b"From: li@tea.example\r\nSubject: x\r\n\r\n..\r\n...two\r\nend of line\r\n"
    )
    assert server.commands[1] == "MAIL FROM:<li@tea.example> SIZE=59"
    assert server.commands[2] == "RCPT TO:<wang@harbour.example>"


def test_dot_ends_the_message_without_i(folder: Path, server: Server) -> None:
    assert run(folder, "-fa@b.c", "d@e.f", stdin=b"From: x\n\nbody\n.\nnever\n").returncode == 0
    assert server.message == b"From: x\r\n\r\nbody\r\n"


def test_t_reads_the_header_and_takes_bcc_out(folder: Path, server: Server) -> None:
    text = (
        b"From: li@tea.example\nTo: Wang <wang@harbour.example>, (x) chen\n"
        b"Bcc: secret@harbour.example,\n other@harbour.example\n"
        b"Cc: friends: a@b.example;\n\nhello\n"
    )
    assert run(folder, "-t", "-oi", "extra@harbour.example", stdin=text).returncode == 0
    assert [command for command in server.commands if command.startswith("RCPT")] == [
        f"RCPT TO:<{address}>"
        for address in (
            "extra@harbour.example",
            "wang@harbour.example",
            "chen@mx.postern.test",
            "secret@harbour.example",
            "other@harbour.example",
            "a@b.example",
        )
    ]
    assert b"bcc" not in server.message.lower()
    assert b"other@" not in server.message
    assert b"To: Wang" in server.message


def test_dsn_flags_become_parameters(folder: Path, server: Server) -> None:
    flags = ["-N", "failure,delay", "-R", "hdrs", "-V", "id+1=2 x", "-f", "<>"]
    assert run(folder, *flags, "d@e.f", stdin=b"From: x\n\n").returncode == 0
    assert server.commands[1] == "MAIL FROM:<> SIZE=11 RET=HDRS ENVID=id+2B1+3D2+20x"
    assert server.commands[2] == "RCPT TO:<d@e.f> NOTIFY=DELAY,FAILURE"


def test_sender_is_the_login_and_a_from_field_is_added(folder: Path, server: Server) -> None:
    done = run(folder, "-F", 'Li "the" \\ Tea\r\nBcc: x@y', "d@e.f", stdin=b"Subject: x\n\nbody\n")
    assert done.returncode == 0
    assert server.commands[1].startswith("MAIL FROM:<")
    assert "@mx.postern.test>" in server.commands[1]
    assert b'\r\nFrom: "Li the  TeaBcc: x@y" <' in server.message


def test_eight_bits_and_utf8_are_declared(folder: Path, server: Server) -> None:
    text = "From: x\nSubject: é\n\né\n".encode()
    assert run(folder, "-fa@b.c", "d@e.f", stdin=text).returncode == 0
    assert server.commands[1].endswith("BODY=8BITMIME SMTPUTF8")


def test_server_that_is_down_is_exit_75_and_says_so(folder: Path) -> None:
    done = run(folder, "d@e.f", stdin=b"\n")
    assert done.returncode == 75
    assert b"does not take mail" in done.stderr
    assert b"nothing was sent" in done.stderr


@pytest.mark.parametrize(
    ("replies", "code"),
    [
        ({"RCPT": "550 5.1.1 no such mailbox PT-1"}, 67),
        ({"RCPT": "451 4.3.0 later PT-1"}, 75),
        ({"MAIL": "452 4.3.1 disk PT-1"}, 75),
        ({"MAIL": "550 5.7.1 not yours PT-1"}, 69),
        ({"": "421 4.3.2 too many"}, 75),
        ({".": "554 5.6.0 bad PT-1"}, 69),
        ({"DATA": "451 4.3.0 later PT-1"}, 75),
    ],
)
def test_refusals_have_the_exit_codes_programs_know(
    folder: Path, server: Server, replies: dict[str, str], code: int
) -> None:
    server.replies = replies
    done = run(folder, "-fa@b.c", "d@e.f", stdin=b"From: x\n\n")
    assert done.returncode == code
    assert next(iter(replies.values())).encode()[4:] in done.stderr


def test_refused_recipient_does_not_keep_mail_from_the_others(folder: Path, server: Server) -> None:
    server.replies = {"RCPT TO:<bad": "550 5.1.1 no such mailbox PT-1"}
    done = run(folder, "-fa@b.c", "bad@e.f", "good@e.f", stdin=b"From: x\n\n")
    assert done.returncode == 67
    assert server.message
    assert b"bad@e.f: 550 5.1.1" in done.stderr
    assert b"the other recipients were served" in done.stderr


@pytest.mark.parametrize("address", ["a b@c.d", "a@b.c\r\nRCPT TO:<x@y.z>", "a@b.c>", "a\x1b@b.c"])
def test_address_that_is_none_never_reaches_the_server(folder: Path, address: str) -> None:
    # There is no server: an address that passed would end in exit 75.
    assert run(folder, "-f", "x@y.z", address, stdin=b"\n").returncode == 65


@pytest.mark.parametrize(
    "arguments", [["-bd"], ["-Z"], ["-R", "some", "a@b"], ["-N", "never,delay"]]
)
def test_flags_that_are_not_known_are_usage_errors(folder: Path, arguments: list[str]) -> None:
    assert run(folder, *arguments).returncode == 64


def test_no_recipients_is_a_usage_error(folder: Path) -> None:
    assert run(folder, "-t", stdin=b"Subject: x\n\n").returncode == 64


def test_bs_passes_smtp_through(folder: Path, server: Server) -> None:
    done = run(folder, "-bs", stdin=b"EHLO x\r\nNOOP\r\n")
    assert done.returncode == 0
    assert done.stdout.startswith(b"220 mx ESMTP\r\n250-mx\r\n")
    assert server.commands == ["EHLO x", "NOOP"]


def test_flags_programs_use_are_understood() -> None:
    options = parse(["-oem", "-oi", "-f", "x@y.z", "-B8BITMIME", "-v", "--", "a@b", "-c@d"])
    assert options.dot_ends is False
    assert options.sender == "x@y.z"
    assert options.recipients == ["a@b", "-c@d"]
    assert parse(["-q"]).mode == "q"
    assert parse(["-bp"]).mode == "p"
    assert parse(["a@b", "-t"]).reads_recipients
    with pytest.raises(UsageError):
        parse(["-f"])


def made(text: bytes, *, reads: bool = False) -> tuple[bytes, Prepared]:
    target = BytesIO()
    prepared = prepare(
        BytesIO(text), target, dot_ends=True, reads_recipients=reads, author="\0a@b.c"
    )
    return target.getvalue(), prepared


def test_body_without_a_header_is_not_taken_for_one() -> None:
    message, _ = made(b"hello: there you are\nno field at all\n")
    assert message == b"hello: there you are\r\nFrom: <a@b.c>\r\n\r\nno field at all\r\n"
    assert made(b"just text\n")[0] == b"From: <a@b.c>\r\n\r\njust text\r\n"
    assert made(b"")[0] == b"From: <a@b.c>\r\n\r\n"


def test_mbox_line_in_front_is_dropped() -> None:
    message, _ = made(b"From li Mon Jan 1\nFrom: <x@y>\n\nFrom here on\n")
    assert message == b"From: <x@y>\r\n\r\nFrom here on\r\n"


def test_lone_cr_cannot_smuggle_a_header_field_in() -> None:
    message, prepared = made(b"To: a@b.c\rBcc: x@y.z\nFrom: q\n\n", reads=True)
    assert b"\r" not in message.replace(b"\r\n", b"")
    assert "x@y.z" not in prepared.recipients


def test_resent_fields_win_when_there_are_any() -> None:
    _, prepared = made(b"To: a@b.c\nResent-To: d@e.f\nFrom: q\n\n", reads=True)
    assert prepared.recipients == ("d@e.f",)


def test_recipient_field_that_holds_no_address_is_a_mistake() -> None:
    _, prepared = made(b"To: <>\nFrom: q\n\n", reads=True)
    assert "no address" in prepared.mistake
    assert not made(b"To: undisclosed-recipients:;\nFrom: q\n\n", reads=True)[1].mistake


def test_header_without_end_is_refused_before_it_fills_the_memory() -> None:
    _, prepared = made(b"X: y\n" * 300_000)
    assert prepared.mistake == "header too large"


@dataclass
class Message:
    trace: str = "PT-7Q2M-K4XD"
    size_bytes: int = 2048
    queued_at: float = 1_750_000_000.0
    sender: str = ""
    is_held: bool = False
    reason: str = "450 4.2.0 grey\nlisted"
    recipients: tuple[str, ...] = ("a@b.c", "d@e.f")


def test_mailq_looks_as_programs_expect() -> None:
    lines = list(listing([Message(), Message(sender="x@y.z", is_held=True, reason="")]))
    assert lines[0].startswith("-Queue ID-")
    assert lines[1].startswith("PT-7Q2M-K4XD      2048 ")
    assert lines[1].endswith("MAILER-DAEMON")
    assert lines[2].strip() == "(450 4.2.0 grey listed)"
    assert lines[3].strip() == "a@b.c"
    assert lines[6].startswith("PT-7Q2M-K4XD! ")
    assert lines[-1] == "-- 4 Kbytes in 2 Requests."


def test_empty_queue_says_so() -> None:
    assert list(listing([])) == [EMPTY]
