"""Postern itself as a peer: starts, takes mail, answers questions, stops and leaves nothing."""

import tomllib

import pytest
from tests.peers.postern_server import Listening, PosternSettings, postern, toml
from tests.peers.sink import smtp_source


def test_generated_configuration_is_toml_with_each_table_once() -> None:
    settings = PosternSettings(
        listeners=(Listening(), Listening("submission", extra="relay_from = ['127.0.0.0/8']")),
        resolver="127.0.0.1:5353",
        top="stop_grace_s = 3",
        tables=(("delivery", "port = 2525"), ("[egress]", "name = 'direct'")),
    )
    read = tomllib.loads(toml(settings))
    assert [listener["kind"] for listener in read["listener"]] == ["mx", "submission"]
    assert read["listener"][1]["relay_from"] == ["127.0.0.0/8"]
    assert read["console"] == {"bind": "127.0.0.1:0"}
    assert read["delivery"]["port"] == 2525
    assert read["egress"][0]["name"] == "direct"
    assert read["stop_grace_s"] == 3


@pytest.mark.peers("smtp-source")
@pytest.mark.parametrize("is_fresh", [False, True], ids=["forked", "fresh"])
def test_postern_takes_a_message_tells_of_it_and_stops_without_a_trace(
    is_fresh: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    with postern(PosternSettings(is_fresh=is_fresh)) as server:
        server.domain_add("here.test")
        server.mailbox_add("wang@here.test", "secret")
        port = server.port()
        smtp_source(port, messages=1, sender="li@client.test", recipient="wang@here.test")
        (message,) = server.wait_for_messages("wang@here.test")
        told = server.cli_json("why", "li@client.test")
        assert b"li@client.test" in message
        assert told["schema"] == 1
        assert server.stop() < 20


@pytest.mark.peers("smtp-source")
def test_postern_keeps_its_mail_over_a_kill() -> None:
    with postern(PosternSettings(workers=2)) as server:
        server.domain_add("here.test")
        server.mailbox_add("wang@here.test")
        smtp_source(server.port(), messages=20, sessions=4, recipient="wang@here.test")
        server.kill()
        server.start()
        assert len(server.wait_for_messages("wang@here.test", 20)) >= 20
