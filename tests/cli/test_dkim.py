"""``postern dkim`` as operators and scripts call it."""

from pathlib import Path

import pytest
from tests.cli.called import Postern
from tests.cli.conftest import CONFIG
from tests.mail.dkim.stand import pem, rsa_key
from tests.peers.dns import NsdServer

H = "harbour.example"


def test_a_new_domain_has_a_key_and_is_told_its_record(harbour: Postern) -> None:
    said = harbour("domain", "add", "lake.example")
    assert said.code == 0
    record = said.out.splitlines()[-1]
    assert '._domainkey.lake.example. IN TXT "v=DKIM1; k=rsa; p=' in record
    made = harbour("domain", "add", "pond.example", "--json").json("dkim")
    assert made["state"] == "waiting"
    assert "pem" not in made


def test_a_gateways_domain_has_none(harbour: Postern) -> None:
    said = harbour("domain", "add", "gw.example", "--to", "mail.gw.example")
    assert "DKIM" not in said.out
    assert harbour("dkim", "list", "gw.example", "--json").rows("keys") == []


def test_key_is_made_set_to_work_retired_and_removed(harbour: Postern) -> None:
    said = harbour("dkim", "add", H, "--ed25519", "--selector", "fast")
    assert said.out.startswith(f"Made key fast of {H} (ed25519); it signs once")
    assert f"fast._domainkey.{H}. IN TXT" in said.out
    assert harbour("dkim", "activate", H, "fast").code == 0
    rows = [line.split() for line in harbour("dkim", "list").out.splitlines()]
    assert [H, "fast", "ed25519", "active"] in [row[:4] for row in rows]
    refused = harbour("dkim", "remove", H, "fast")
    assert refused.code == 2
    assert f"postern dkim retire {H} fast" in refused.err
    retired = harbour("dkim", "retire", H, "fast").out
    assert "leave fast._domainkey" in retired
    assert f"No key of {H} signs now" in retired
    assert harbour("dkim", "remove", H, "fast").code == 0
    assert harbour("dkim", "show", H, "fast").code == 4


def test_key_made_elsewhere_is_taken_over(harbour: Postern, tmp_path: Path) -> None:
    file = tmp_path / "mail.private"
    file.write_bytes(pem(rsa_key()))
    said = harbour("dkim", "add", H, "--selector", "mail", "--import", str(file), "--json")
    key = said.json("key")
    assert (key["selector"], key["kind"], key["bits"]) == ("mail", "rsa", 2048)
    file.write_bytes(b"-----BEGIN NOTHING-----\n")
    assert harbour("dkim", "add", H, "--import", str(file)).code == 64
    assert harbour("dkim", "add", H, "--import", str(tmp_path / "gone")).code == 64


@pytest.mark.peers("nsd")
def test_show_says_whether_dns_has_the_record(harbour: Postern, folder: Path) -> None:
    made = harbour("dkim", "add", H, "--ed25519", "--selector", "s1", "--json").json("key")
    record = made["record"]
    assert isinstance(record, dict)
    value = str(record["value"])
    zone = {H: f's1._domainkey TXT "{value}"\ns2._domainkey TXT "v=DKIM1; p="'}
    with NsdServer(zone) as dns:
        resolver = f'\n[[resolver]]\nname = "home"\nservers = ["{dns.address}"]\n'
        (folder / "postern.toml").write_text(CONFIG + resolver)
        said = harbour("dkim", "show", H, "s1")
        assert (said.code, "seen in DNS" in said.out) == (0, True)
        for selector, code, words in (("s2", 2, "another record"), ("s3", 1, "not in DNS yet")):
            harbour("dkim", "add", H, "--ed25519", "--selector", selector)
            said = harbour("dkim", "show", H, selector)
            assert (said.code, words in said.out) == (code, True)
    assert harbour("dkim", "show", H, "s1", "--json").code == 3
