import time
import tomllib

import pytest

from postern.routing.group import group_of_hosts
from postern.routing.providers import Providers, read_table, shipped, with_own


@pytest.mark.parametrize(
    ("hosts", "provider"),
    [
        (["aspmx.l.google.com", "alt1.aspmx.l.google.com", "aspmx2.googlemail.com"], "google"),
        (["smtp.google.com"], "google"),
        (["tea-example.mail.protection.outlook.com"], "outlook"),
        (["tea-example.a-v1.mx.microsoft"], "outlook"),
        (["hotmail-com.olc.protection.outlook.com"], "hotmail"),
        (["mta5.am0.yahoodns.net", "mta7.am0.yahoodns.net"], "yahoo"),
        (["mx01.mail.icloud.com", "mx02.mail.icloud.com"], "icloud"),
        (["mxbiz1.qq.com", "mxbiz2.qq.com"], "exmail"),
        (["mx1.qq.com", "mx2.qq.com", "mx3.qq.com"], "qq"),
        (["163mx00.mxmail.netease.com", "163mx01.mxmail.netease.com"], "netease"),
        (["qiye163mx01.mxmail.netease.com"], "netease-qiye"),
        (["mxn.mxhichina.com", "mxw.mxhichina.com"], "aliyun"),
        (["emx.mail.ru"], "mailru"),
        (["mx.yandex.net"], "yandex"),
        (["inbound-smtp.eu-west-1.amazonaws.com"], "amazon-workmail"),
        (["eu-smtp-inbound-1.mimecast.com", "eu-smtp-inbound-2.mimecast.com"], "mimecast-eu"),
        (["mx0a-00123456.pphosted.com", "mx0b-00123456.pphosted.com"], "proofpoint"),
        (["mx.spamexperts.com", "fallbackmx.spamexperts.eu", "lastmx.spamexperts.net"],
         "spamexperts"),
        (["smtp.secureserver.net", "mailstore1.secureserver.net"], "godaddy"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)  # fmt: skip
def test_hosts_of_a_provider_are_known(hosts: list[str], provider: str) -> None:
    assert group_of_hosts(hosts, shipped()) == provider


@pytest.mark.parametrize(
    "hosts",
    [
        ["aspmx.l.google.com", "mx.tea.example"],
        ["aspmx.l.google.com", "mx1.qq.com"],
    ],
)
def test_a_domain_is_a_providers_only_when_all_its_hosts_are(hosts: list[str]) -> None:
    group = group_of_hosts(hosts, shipped())
    assert group not in shipped().names
    assert "+" in group


@pytest.mark.parametrize(
    "host",
    [
        "notgoogle.com",  # ends so, and is another name
        "google.com.tea.example",
        "mx.google.com.",
        "mx\\.google.com",  # one label with a dot in it, below com
        "ip-192-0-2-1.ip.secureserver.net",  # a customer's machine
        "ec2-192-0-2-1.compute-1.amazonaws.com",
        "inbound-smtp.a.b.amazonaws.com",
        "google",
        "com",
        "",
    ],
)
def test_no_stranger_gets_into_a_providers_group(host: str) -> None:
    assert shipped().of_host(host) is None


@pytest.mark.parametrize("host", ["google", "outlook", "local", "relay:us1", "gateway:x", "a+b"])
def test_no_stranger_can_call_a_host_as_postern_calls_its_own_groups(host: str) -> None:
    group = group_of_hosts([host], shipped())
    assert group not in shipped().names
    assert group != host
    assert ":" not in group
    assert "+" not in group


def test_an_address_in_place_of_a_name_is_its_own_group() -> None:
    assert group_of_hosts(["192.0.2.1"], shipped()) == "192.0.2.1"
    assert group_of_hosts(["2001:db8::1"], shipped()) == "2001:db8::1"


def test_a_sites_own_table_adds_to_the_shipped_one_and_replaces_entries_of_the_same_name() -> None:
    own = """
    [tea-mail]
    mx = ["Filter.Tea.example.", "mx.*.tea-cloud.example"]
    [google]
    mx = ["google.example"]
    [qq]
    mx = []
    """
    providers, mistakes = with_own(own)
    assert mistakes == []
    assert providers.of_host("mx1.filter.tea.example") == "tea-mail"
    assert providers.of_host("mx.eu.tea-cloud.example") == "tea-mail"
    assert providers.of_host("eu.tea-cloud.example") is None
    assert providers.of_host("google.example") == "google"
    assert providers.of_host("aspmx.l.google.com") is None
    assert providers.of_host("mx1.qq.com") is None
    assert providers.of_host("mx.yandex.ru") == "yandex"


@pytest.mark.parametrize(
    ("table", "key", "word"),
    [
        ('google = "google.com"', ("google",), "expected a table"),
        ('[Tea]\nmx = ["mx.tea.example"]', ("Tea",), "letters"),
        ('["tea.example"]\nmx = ["mx.tea.example"]', ("tea.example",), "letters"),
        ('[local]\nmx = ["mx.tea.example"]', ("local",), "letters"),
        ('[tea]\nmx = "mx.tea.example"', ("tea", "mx"), "array"),
        ("[tea]", ("tea", "mx"), "array"),
        ('[tea]\nmx = ["mx.tea.example", "com"]', ("tea", "mx", 1), "strangers"),
        ('[tea]\nmx = ["*.com"]', ("tea", "mx", 0), "strangers"),
        ('[tea]\nmx = ["mx.*"]', ("tea", "mx", 0), "strangers"),
        ('[tea]\nmx = ["m*.tea.example"]', ("tea", "mx", 0), "whole labels"),
        ('[tea]\nmx = [""]', ("tea", "mx", 0), "mail host"),
        ("[tea]\nmx = [5]", ("tea", "mx", 0), "mail host"),
        ('[tea]\nmx = ["mx.tea.example"]\nmxs = 1', ("tea", "mxs"), "no such setting"),
    ],
)
def test_mistakes_in_a_table_are_told_with_their_key(
    table: str, key: tuple[str | int, ...], word: str
) -> None:
    names, mistakes = read_table(table)
    assert [mistake.key for mistake in mistakes] == [key]
    assert word in mistakes[0].text
    assert names == {}


def test_what_is_no_toml_is_left_to_the_caller_to_tell() -> None:
    with pytest.raises(tomllib.TOMLDecodeError):
        with_own("[tea")


def test_tables_are_equal_when_they_say_the_same() -> None:
    assert Providers({"tea": ("mx.tea.example",)}) == Providers({"tea": ("mx.tea.example",)})
    assert Providers({"tea": ("mx.tea.example",)}) != shipped()


@pytest.mark.parametrize("label", ["a", "a-", "-", "mx.", ".", "1.", "\\."])
def test_no_name_holds_up_the_one_who_looks_for_its_group(label: str) -> None:
    host = label * (60_000 // len(label)) + "!"
    began = time.process_time()
    group_of_hosts([host, f"mx.{host}"], shipped())
    assert time.process_time() - began < 0.25
