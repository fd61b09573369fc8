"""The counting sink counts every message, and the source says when it was refused."""

from pathlib import Path

import pytest
from tests.peers.sink import smtp_sink, smtp_source

pytestmark = pytest.mark.peers("smtp-source", "smtp-sink")


@pytest.mark.parametrize("reuse", [False, True])
def test_sink_counts_exactly_what_the_source_sent(tmp_path: Path, *, reuse: bool) -> None:
    with smtp_sink(log=tmp_path / "sink.log") as sink:
        smtp_source(sink.port, messages=250, sessions=10, reuse=reuse)
        assert sink.wait_for(250, within_s=20) > 0
        smtp_source(sink.port, messages=50, sessions=5, reuse=reuse)
        sink.wait_for(300, within_s=20)
    assert sink.messages == 300


def test_source_raises_when_the_server_refuses(tmp_path: Path) -> None:
    with (
        smtp_sink("-f", "RCPT", log=tmp_path / "sink.log") as sink,
        pytest.raises(RuntimeError, match="rejected"),
    ):
        smtp_source(sink.port, messages=1)
