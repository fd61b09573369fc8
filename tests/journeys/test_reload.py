"""A reload under way: what changes, what waits for a restart, what a crash after it must not do."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from tests.journeys.clients import lines
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern
from tests.peers.process import free_port, wait_until
from tests.peers.sink import smtp_sink

MX = Listening("mx", "127.0.0.1:0")
RELAY = Listening("mx", "127.0.0.1:0", 'relay_from = ["127.0.0.0/8"]')
WAITS = "only taken up by a restart"


def answer_to(port: int, recipient: str) -> str:
    """What RCPT is answered."""
    with lines(port) as talk:
        talk.say_all("EHLO client.test", "MAIL FROM:<li@far.test>")
        return talk.say(f"RCPT TO:<{recipient}>")


def is_another(server: PosternServer, number: int, before: int) -> bool:
    """Whether that worker is another process than before."""
    return server.status(number).pid != before


def reload_and_crash(server: PosternServer, settings: PosternSettings) -> None:
    """Change the file, reload, and have every worker born again."""
    server.write_config(settings)
    server.reload()
    wait_until(lambda: WAITS in server.log(), WAITS)
    for number in range(settings.workers):
        before = server.status(number).pid
        server.kill_worker(number)
        wait_until(partial(is_another, server, number, before), "a new worker")


def test_a_listeners_rules_stay_with_its_socket_through_reload_and_crash() -> None:
    settings = PosternSettings(workers=2, listeners=(MX, RELAY))
    with postern(settings) as server:
        public, inside = server.port("mx", 0), server.port("mx", 1)
        assert answer_to(public, "victim@outside.test").startswith("550 5.7.1")
        reload_and_crash(server, replace(settings, listeners=(RELAY, MX)))
        assert answer_to(public, "victim@outside.test").startswith("550 5.7.1")
        assert answer_to(inside, "victim@outside.test").startswith("250")


def test_another_data_dir_waits_for_a_restart_also_for_a_worker_that_crashed() -> None:
    settings = PosternSettings(workers=1)
    with postern(settings) as server:
        server.domain_add("here.test")
        server.mailbox_add("bob@here.test")
        text = server.config.read_text()
        server.config.write_text(text.replace('data_dir = "data"', 'data_dir = "elsewhere"'))
        assert server.config.read_text() != text
        server.reload()
        wait_until(lambda: WAITS in server.log(), WAITS)
        before = server.status().pid
        server.kill_worker()
        wait_until(lambda: server.status().pid != before, "a new worker")
        assert answer_to(server.port(), "bob@here.test").startswith("250")
        assert not (server.folder / "elsewhere").exists()


@pytest.mark.peers("smtp-sink")
def test_ways_out_and_retry_times_are_taken_up_by_a_reload(tmp_path: Path) -> None:
    nobody = f'name = "out"\nrelay = "127.0.0.1:{free_port()}"'
    settings = PosternSettings(workers=1, listeners=(RELAY,), tables=(("[egress]", nobody),))
    with smtp_sink(log=tmp_path / "sink.log") as sink, postern(settings) as server:
        with lines(server.port()) as talk:
            talk.say_all(
                "EHLO client.test", "MAIL FROM:<li@far.test>", "RCPT TO:<a@out.test>", "DATA"
            )
            assert talk.say("Subject: x\r\n\r\nx\r\n.").startswith("250")
        wait_until(lambda: server.waiting() == 1, "the first try to fail")
        there = f'name = "out"\nrelay = "127.0.0.1:{sink.port}"'
        server.write_config(replace(settings, tables=(("[egress]", there),)))
        server.reload()
        wait_until(lambda: "worker.reloaded" in server.log(), "the reload")
        server.cli("queue", "retry", "--to", "a@out.test")
        sink.wait_for(1, within_s=30)


def test_a_scanner_that_is_added_is_asked_from_then_on_and_its_counts_outlive_a_reload() -> None:
    """Without it nobody looks at mail of this machine; then every message is shown to it."""
    script = 'case "$(cat)" in *forbidden*) exit 1;; esac'
    own = ("scanner.own", f"kind = \"command\"\ncommand = ['/bin/sh', '-c', '{script}']")
    settings = PosternSettings(listeners=(MX,))
    scans = 'postern_scans_total{result="found",scanner="own"}'

    def answer(word: str) -> str:
        with lines(server.port()) as talk:
            talk.say_all(
                "EHLO client.test", "MAIL FROM:<li@far.test>", "RCPT TO:<bob@here.test>", "DATA"
            )
            return talk.say(f"Subject: x\r\n\r\n{word}\r\n.")

    def reload(fresh: PosternSettings, times: int) -> None:
        server.write_config(fresh)
        server.reload()
        wait_until(lambda: server.log().count("worker.reloaded") == times, "the reload")

    with postern(settings) as server:
        server.domain_add("here.test")
        server.mailbox_add("bob@here.test")
        assert answer("forbidden").startswith("250")
        reload(replace(settings, tables=(own,)), 1)
        assert answer("forbidden").startswith("550")
        assert answer("fine").startswith("250")
        reload(replace(settings, tables=(own, ("log", 'level = "info"'))), 2)
        assert answer("forbidden").startswith("550")
        wait_until(lambda: server.status().counters.get(scans) == 2, "both to be counted")
        reload(settings, 3)
        assert answer("forbidden").startswith("250")
