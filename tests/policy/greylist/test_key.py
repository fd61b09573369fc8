"""What counts as the same mail again."""

from dataclasses import replace
from ipaddress import ip_address

import pytest
from publicsuffixlist import PublicSuffixList

from postern.mail.address import Address
from postern.mail.dmarc.alignment import Identifier, Method, Proof
from postern.policy.greylist.key import Key, key_for
from postern.policy.rules.match import Facts

WANG = Address("wang", "harbour.example")
FACTS = Facts(0.0, ip_address("198.51.100.24"), mail_from=Address("chen", "tea.example"))
NETWORK = "net:198.51.100.0/24"
SUFFIXES = PublicSuffixList().privatesuffix


def key(facts: Facts, proof: Proof = Proof.FAIL) -> Key:
    domain = "mail.tea.example" if facts.mail_from is None else facts.mail_from.domain
    identifiers = (
        Identifier(Method.DKIM, "other.example", Proof.PASS),
        Identifier(Method.SPF, domain, proof),
    )
    return key_for(facts, identifiers, WANG, SUFFIXES)


def test_all_that_spf_lets_send_for_a_domain_are_one_pool_and_one_sender() -> None:
    elsewhere = replace(FACTS, ip=ip_address("2001:db8::1"), ptr="x.other.example")
    expected = Key("spf:tea.example", "@tea.example", "wang@harbour.example", "spf:tea.example")
    assert key(FACTS, Proof.PASS) == key(elsewhere, Proof.PASS) == expected


def test_servers_whose_names_are_of_one_registrable_domain_are_one_pool() -> None:
    keys = {
        key(replace(FACTS, ip=ip_address(ip), ptr=name))
        for ip, name in (
            ("198.51.100.24", "out-1.mail.provider.co.uk"),
            ("198.51.100.99", "out-2.smtp.provider.co.uk"),
        )
    }
    (one,) = keys
    assert (one.pool, one.sender) == ("ptr:provider.co.uk", "chen@tea.example")
    # A hosting provider's customers are below its name: that their neighbours passed says nothing.
    assert one.trusted == NETWORK


@pytest.mark.parametrize("ptr", ["", "co.uk", "24-100-51-198.dsl.isp.example"])
def test_the_others_are_a_network(ptr: str) -> None:
    found = key(replace(FACTS, ptr=ptr))
    assert (found.pool, found.trusted) == (NETWORK, NETWORK)


def test_a_network_of_ipv6_is_a_slash_64() -> None:
    assert key(replace(FACTS, ip=ip_address("2001:db8:1:2::3"))).pool == "net:2001:db8:1:2::/64"


@pytest.mark.parametrize(
    "local",
    ["bounce-17-4711", "bounce-2-99", "BOUNCE-1-1", "bounce-1-1+wang", "bounce-8-8=wang.example"],
)
def test_senders_that_lists_write_anew_each_time_are_one(local: str) -> None:
    found = key(replace(FACTS, mail_from=Address(local, "list.example")))
    assert found.sender == "bounce-#-#@list.example"


def test_the_null_sender_is_its_server() -> None:
    null = replace(FACTS, mail_from=None)
    assert key(null, Proof.PASS).pool == "spf:mail.tea.example"
    assert (key(null).pool, key(null).sender) == (NETWORK, "")
