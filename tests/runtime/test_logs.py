import json
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import structlog

from postern.runtime.clock import FakeClock
from postern.runtime.logs import (
    LogFormat,
    LogLines,
    choose_format,
    configure_logs,
    escaped,
    mask_secrets,
)


@dataclass
class Pipe:
    reading: int
    writing: int

    def lines(self) -> list[str]:
        os.set_blocking(self.reading, False)
        try:
            return os.read(self.reading, 1_000_000).decode().splitlines()
        except BlockingIOError:
            return []


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    reading, writing = os.pipe()
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield Pipe(reading, writing)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    os.close(reading)
    os.close(writing)


def configure(pipe: Pipe, style: LogFormat = LogFormat.PLAIN, level: str = "info") -> None:
    configure_logs(
        level=level, style=style, process="worker-0", clock=FakeClock(), descriptor=pipe.writing
    )


def test_trace_rip_and_user_stand_at_fixed_places(pipe: Pipe) -> None:
    configure(pipe)
    structlog.get_logger().warning(
        "auth.failed", reason="wrong password", user="wang", rip="192.0.2.7", trace="PT-7Q2M-K4XD"
    )
    structlog.get_logger().info("started")
    assert pipe.lines() == [
        "2025-06-15T15:06:40.000+00:00 warning worker-0 trace=PT-7Q2M-K4XD rip=192.0.2.7 user=wang"
        ' auth.failed reason="wrong password"',
        "2025-06-15T15:06:40.000+00:00 info worker-0 trace=- rip=- user=- started",
    ]


def test_journald_gets_the_level_and_no_time(pipe: Pipe) -> None:
    configure(pipe, LogFormat.JOURNALD)
    structlog.get_logger().error("disk full")
    assert pipe.lines() == ["<3>worker-0 trace=- rip=- user=- disk full"]


def test_json_is_one_object_a_line(pipe: Pipe) -> None:
    configure(pipe, LogFormat.JSON)
    structlog.get_logger().info("a\nb", password="hunter2")
    (line,) = pipe.lines()
    assert json.loads(line)["event"] == "a\nb"
    assert "hunter2" not in line


def test_no_value_breaks_out_of_its_line_or_its_quotes(pipe: Pipe) -> None:
    configure(pipe)
    structlog.get_logger().info(
        "x\r\ny", helo='a" rip=127.0.0.1 \n2025 info', user="u rip=1.2.3.4", trace="\x1b[2J"
    )
    (line,) = pipe.lines()
    assert line.endswith(r'x\r\ny helo="a\" rip=127.0.0.1 \n2025 info"')
    assert 'user="u rip=1.2.3.4"' in line
    assert "\x1b" not in line


def test_secrets_are_masked_at_any_depth(pipe: Pipe) -> None:
    configure(pipe)
    structlog.get_logger().info(
        "x", Password="p1", client_secret="p2", headers={"Authorization": "p3", "a": {"passwd": 4}}
    )
    (line,) = pipe.lines()
    assert not re.search("p1|p2|p3|4}", line)
    assert mask_secrets({"private_key": "x", "key": "y"}) == {"private_key": "***", "key": "y"}


def test_lines_below_the_level_are_not_written(pipe: Pipe) -> None:
    configure(pipe, level="warning")
    structlog.get_logger().info("quiet")
    configure(pipe, level="debug")
    structlog.get_logger().debug("loud")
    assert [line.endswith("loud") for line in pipe.lines()] == [True]


def fail_at_length() -> None:
    raise ValueError("x" * 5000 + "the end")


def test_traceback_stays_on_one_line_and_keeps_its_end(pipe: Pipe) -> None:
    configure(pipe)
    try:
        fail_at_length()
    except ValueError:
        structlog.get_logger().exception("failed")
    (line,) = pipe.lines()
    assert line.endswith('the end"')
    assert len(line) < 4000


def test_what_libraries_log_comes_on_our_lines(pipe: Pipe) -> None:
    configure(pipe)
    logging.getLogger("some.library").error("it %s", "broke")
    (line,) = pipe.lines()
    assert line.endswith("it broke library=some.library")


def test_reader_that_hangs_costs_lines_and_not_the_server(pipe: Pipe) -> None:
    lines = LogLines(pipe.writing)
    for number in range(2000):
        lines.write(f"{number} {'x' * 200}")
    assert len(pipe.lines()) < 2000
    pipe.lines()
    lines.write("again")
    last = pipe.lines()[-1]
    assert re.fullmatch(r"again lines_dropped=[1-9]\d+", last)


def test_auto_is_plain_unless_stderr_is_the_journal() -> None:
    status = os.fstat(2)
    assert choose_format("auto", {}) is LogFormat.PLAIN
    journal = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
    assert choose_format("auto", journal) is LogFormat.JOURNALD
    assert choose_format("json", journal) is LogFormat.JSON


def test_printable_text_of_any_language_is_left_alone() -> None:
    assert escaped("您的邮件 é") == "您的邮件 é"
    assert escaped("\u2028") == r"\u2028"
