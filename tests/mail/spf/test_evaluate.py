import pytest
from tests.mail.spf.asking import NOW, RECEIVER, ask, check, drive

from postern.mail.dns import Question, Status
from postern.mail.spf.evaluate import check_host, is_full_name
from postern.mail.spf.result import SpfCode, Step
from postern.runtime.resolver.fake import FakeResolver

CLIENT = "192.0.2.1"
V6 = "2001:db8::1"
SENDER = "ann@tea.example"


def zone(**records: str) -> FakeResolver:
    """TXT records by name, with ``__`` for a dot: ``zone(tea__example="v=spf1 -all")``."""
    resolver = FakeResolver()
    for name, text in records.items():
        resolver.add(name.replace("__", "."), "TXT", text)
    return resolver


def appendix() -> FakeResolver:
    """The zones of RFC 7208 appendix A."""
    resolver = FakeResolver()
    resolver.add("example.com", "MX", "10 mail-a.example.com", "20 mail-b.example.com")
    resolver.add("example.com", "A", "192.0.2.10", "192.0.2.11")
    resolver.add("www.example.com", "A", "192.0.2.10", "192.0.2.11")
    resolver.add("example.org", "MX", "10 mail-c.example.org")
    hosts = {"amy": 65, "bob": 66, "mail-a": 129, "mail-b": 130}
    names = {10: "example.com", 11: "example.com", 140: "mail-c.example.org"}
    names |= {number: f"{host}.example.com" for host, number in hosts.items()}
    for number, name in names.items():
        if number > 11:
            resolver.add(name, "A", f"192.0.2.{number}")
        resolver.add(f"{number}.2.0.192.in-addr.arpa", "PTR", name)
    resolver.add("4.0.0.10.in-addr.arpa", "PTR", "bob.example.com")
    return resolver


@pytest.mark.parametrize(
    ("record", "passing", "failing"),
    [
        ("v=spf1 +all", "192.0.2.65 10.0.0.4 203.0.113.9", ""),
        ("v=spf1 a -all", "192.0.2.10 192.0.2.11", "192.0.2.65"),
        ("v=spf1 a:example.org -all", "", "192.0.2.10 192.0.2.140"),
        ("v=spf1 mx -all", "192.0.2.129 192.0.2.130", "192.0.2.140"),
        ("v=spf1 mx:example.org -all", "192.0.2.140", "192.0.2.129"),
        ("v=spf1 mx mx:example.org -all", "192.0.2.129 192.0.2.130 192.0.2.140", "192.0.2.10"),
        (
            "v=spf1 mx/30 mx:example.org/30 -all",
            "192.0.2.128 192.0.2.131 192.0.2.140 192.0.2.143",
            "192.0.2.127 192.0.2.132 192.0.2.144",
        ),
        ("v=spf1 ptr -all", "192.0.2.65", "192.0.2.140 10.0.0.4"),
        ("v=spf1 ip4:192.0.2.128/28 -all", "192.0.2.129", "192.0.2.65"),
    ],
)
def test_simple_examples_of_the_rfc(record: str, passing: str, failing: str) -> None:
    resolver = appendix()
    resolver.add("example.com", "TXT", record)
    for ips, code in ((passing, SpfCode.PASS), (failing, SpfCode.FAIL)):
        for ip in ips.split():
            assert check(resolver, ip, "ann@example.com").code is code, ip


def test_rfc_example_of_several_domains() -> None:
    resolver = appendix()
    resolver.add("example.org", "TXT", "v=spf1 include:example.com include:example.net -all")
    resolver.add("la.example.org", "TXT", "v=spf1 redirect=example.org")
    resolver.add("example.com", "TXT", "v=spf1 mx -all")
    resolver.add("example.net", "TXT", "v=spf1 ip4:203.0.113.9 -all")
    for domain in ("example.org", "la.example.org"):
        assert check(resolver, "192.0.2.129", f"ann@{domain}").code is SpfCode.PASS
        assert check(resolver, "203.0.113.9", f"ann@{domain}").code is SpfCode.PASS
        assert check(resolver, "203.0.113.8", f"ann@{domain}").code is SpfCode.FAIL


@pytest.mark.parametrize(
    ("ip", "local", "code"),
    [
        ("203.0.113.9", "mary", SpfCode.PASS),
        ("203.0.113.9", "fred+list", SpfCode.PASS),
        ("203.0.113.9", "joel", SpfCode.FAIL),
        ("192.168.15.15", "joel", SpfCode.PASS),
        ("192.168.15.17", "joel", SpfCode.FAIL),
        ("192.0.2.129", "anyone", SpfCode.PASS),
    ],
)
def test_rfc_example_in_the_manner_of_a_block_list(ip: str, local: str, code: SpfCode) -> None:
    resolver = appendix()
    below = "_spf.example.com"
    for name in ("mary.mobile-users", "fred.mobile-users"):
        resolver.add(f"{name}.{below}", "A", "127.0.0.2")
    for number in (15, 16):
        resolver.add(f"{number}.15.168.192.joel.remote-users.{below}", "A", "127.0.0.2")
    resolver.add(
        "example.com",
        "TXT",
        "v=spf1 mx include:mobile-users._spf.%{d} include:remote-users._spf.%{d} -all",
    )
    resolver.add(f"mobile-users.{below}", "TXT", "v=spf1 exists:%{l1r+}.%{d}")
    resolver.add(f"remote-users.{below}", "TXT", "v=spf1 exists:%{ir}.%{l1r+}.%{d}")
    assert check(resolver, ip, f"{local}@example.com").code is code


def test_rfc_example_of_several_requirements() -> None:
    """As meant: a bare ``-ptr``, as RFC 7208 A.4 has it, would speak of ptr._spf.example.com."""
    resolver = appendix()
    resolver.add("example.com", "TXT", "v=spf1 -include:ip4._spf.%{d} -include:ptr._spf.%{d} +all")
    resolver.add("ip4._spf.example.com", "TXT", "v=spf1 -ip4:192.0.2.0/24 +all")
    resolver.add("ptr._spf.example.com", "TXT", "v=spf1 -ptr:example.com +all")
    assert check(resolver, "192.0.2.65", "ann@example.com").code is SpfCode.PASS
    assert check(resolver, "192.0.2.140", "ann@example.com").code is SpfCode.FAIL
    assert check(resolver, "203.0.113.9", "ann@example.com").code is SpfCode.FAIL


@pytest.mark.parametrize(
    "domain",
    [
        *("", "localhost", "localhost.", "[192.0.2.1]", "[IPv6:2001:db8::1]", "192.0.2.1"),
        *("a..example", ".example", "x" * 64 + ".example", "a." * 130 + "example"),
        *("bücher .example", "tea.ex\x00mple", "tea.example..", "a.b-", "\ud800.example"),
    ],
)
def test_what_is_no_full_domain_name_is_none_and_asks_nothing(domain: str) -> None:
    resolver = FakeResolver()
    result = check(resolver, CLIENT, f"postmaster@{domain}", domain, domain)
    assert result.code is SpfCode.NONE
    assert not resolver.queries
    assert is_full_name("_a.tea.example")


def test_a_client_without_an_ip_address_is_none() -> None:
    result = check(FakeResolver(), "unix:/run/x", SENDER)
    assert (result.code, result.domain) == (SpfCode.NONE, "tea.example")


def test_a_domain_in_other_letters_is_asked_in_a_labels() -> None:
    resolver = FakeResolver()
    resolver.add("xn--bcher-kva.example", "TXT", "v=spf1 exists:%{d}.%{o}.lists.test -all")
    resolver.add("xn--bcher-kva.example.xn--bcher-kva.example.lists.test", "A", "127.0.0.2")
    assert check(resolver, CLIENT, "ann@bücher.example").code is SpfCode.PASS


@pytest.mark.parametrize("status", [Status.NO_NAME, Status.NO_DATA])
def test_a_domain_without_record_is_none(status: Status) -> None:
    resolver = FakeResolver()
    resolver.add("tea.example", "TXT", status=status)
    result = check(resolver, CLIENT, SENDER)
    assert (result.code, result.lookups, result.void_lookups) == (SpfCode.NONE, 0, 0)
    assert result.problem == "there is no SPF record"


@pytest.mark.parametrize("status", [Status.SERVER_FAILURE, Status.TIMEOUT])
@pytest.mark.parametrize(
    ("name", "type_", "term"),
    [
        ("tea.example", "TXT", ""),
        ("tea.example", "A", "a"),
        ("tea.example", "MX", "mx"),
        ("mx2.tea.example", "A", "mx"),
        ("e.tea.example", "A", "exists:e.%{d}"),
        ("inc.tea.example", "TXT", ""),
        ("next.tea.example", "TXT", ""),
    ],
)
def test_a_question_without_answer_is_a_temperror_that_names_it(
    status: Status, name: str, type_: str, term: str
) -> None:
    resolver = zone(
        tea__example="v=spf1 a mx exists:e.%{d} include:inc.%{d} redirect=next.%{d}",
        inc__tea__example="v=spf1 -all",
        next__tea__example="v=spf1 +all",
    )
    resolver.add("tea.example", "A", "203.0.113.1")
    resolver.add("tea.example", "MX", "1 mx1.tea.example", "2 mx2.tea.example")
    resolver.add("mx1.tea.example", "A", "203.0.113.2")
    resolver.add("mx2.tea.example", "A", "203.0.113.3")
    assert check(resolver, CLIENT, SENDER).code is SpfCode.PASS
    resolver.add(name, type_, status=status)
    result = check(resolver, CLIENT, SENDER)
    assert result.code is SpfCode.TEMPERROR
    assert result.unanswered == (Question(name, type_),)
    assert f"{type_} records of {name}" in result.problem
    assert result.term == term
    assert result.decided_by == (name if type_ == "TXT" else "tea.example")


@pytest.mark.parametrize(
    ("included", "qualifier", "code"),
    [
        ("v=spf1 all", "", SpfCode.PASS),
        ("v=spf1 all", "-", SpfCode.FAIL),
        ("v=spf1 all", "~", SpfCode.SOFTFAIL),
        ("v=spf1 -all", "-", SpfCode.NEUTRAL),
        ("v=spf1 ~all", "-", SpfCode.NEUTRAL),
        ("v=spf1 ?all", "-", SpfCode.NEUTRAL),
        ("v=spf1 moo", "", SpfCode.PERMERROR),
        ("v=spf2.0/pra +all", "", SpfCode.PERMERROR),
    ],
)
def test_table_of_include(included: str, qualifier: str, code: SpfCode) -> None:
    resolver = zone(
        tea__example=f"v=spf1 {qualifier}include:other.example ?all", other__example=included
    )
    assert check(resolver, CLIENT, SENDER).code is code


@pytest.mark.parametrize("target", ["gone.example", "a..example", "%{l}", "%{h}"])
def test_redirect_to_no_record_or_no_name_is_a_permerror(target: str) -> None:
    resolver = zone(tea__example=f"v=spf1 redirect={target}")
    result = check(resolver, CLIENT, SENDER, helo="[192.0.2.1]")
    assert result.code is SpfCode.PERMERROR
    assert result.via == (Step("tea.example", f"redirect={target}", is_redirect=True),)


def test_two_records_are_a_permerror() -> None:
    resolver = FakeResolver()
    resolver.add("tea.example", "TXT", "v=spf1 +all", "hello", "V=SPF1")
    result = check(resolver, CLIENT, SENDER)
    assert (result.code, result.problem) == (
        SpfCode.PERMERROR,
        "there are 2 SPF records, not one",
    )


def test_a_flaw_anywhere_decides_before_anything_is_asked() -> None:
    resolver = zone(tea__example="v=spf1 +all a mo\r\no")
    result = check(resolver, CLIENT, SENDER)
    assert (result.code, result.term) == (SpfCode.PERMERROR, "mo o")
    assert result.problem == "there is no such mechanism"
    assert len(resolver.queries) == 1


def test_the_result_tells_the_term_and_the_way_to_it() -> None:
    resolver = zone(
        tea__example="v=spf1 a redirect=_spf.tea.example",
        _spf__tea__example="v=spf1 ~include:hoster.example -all",
        hoster__example="v=spf1 include:%{d2}.nets.test ?all",
        hoster__example__nets__test="v=spf1 ip4:203.0.113.0/24 ip4:192.0.2.0/24",
    )
    resolver.add("tea.example", "A", "203.0.113.1")
    result = check(resolver, CLIENT, SENDER)
    assert result.code is SpfCode.SOFTFAIL
    assert result.decided_by == "hoster.example.nets.test"
    assert result.term == "ip4:192.0.2.0/24"
    assert result.via == (
        Step("tea.example", "redirect=_spf.tea.example", is_redirect=True),
        Step("_spf.tea.example", "~include:hoster.example"),
        Step("hoster.example", "include:%{d2}.nets.test"),
    )
    assert result.mechanism == "~include:hoster.example"
    assert (result.lookups, result.void_lookups, result.unanswered) == (4, 0, ())


def test_the_default_names_the_record_and_no_term() -> None:
    resolver = zone(tea__example="v=spf1 ip4:203.0.113.1 ?include:o.example", o__example="v=spf1")
    result = check(resolver, CLIENT, SENDER)
    assert (result.code, result.decided_by, result.term) == (SpfCode.NEUTRAL, "tea.example", "")
    assert result.mechanism == ""
    assert result.via == ()


def test_ten_terms_may_ask_and_the_eleventh_is_a_permerror() -> None:
    names = [f"a:h{number}.example" for number in range(11)]
    resolver = zone(tea__example=f"v=spf1 {' '.join(names)} +all", o__example="")
    for number in range(11):
        resolver.add(f"h{number}.example", "A", "203.0.113.1")
    result = check(resolver, CLIENT, SENDER)
    assert (result.code, result.term) == (SpfCode.PERMERROR, "a:h10.example")
    assert (result.lookups, len(resolver.queries)) == (10, 11)
    resolver.add("h9.example", "A", CLIENT)
    assert check(resolver, CLIENT, SENDER).code is SpfCode.PASS


def test_a_circle_of_includes_ends() -> None:
    resolver = zone(
        tea__example="v=spf1 include:b.example", b__example="v=spf1 include:tea.example"
    )
    result = check(resolver, CLIENT, SENDER)
    assert (result.code, result.lookups) == (SpfCode.PERMERROR, 10)
    assert len(result.via) == 10


def test_the_third_term_that_comes_to_nothing_is_a_permerror() -> None:
    resolver = zone(tea__example="v=spf1 a:n1.example mx exists:n3.example +all")
    result = check(resolver, CLIENT, SENDER)
    assert (result.code, result.term) == (SpfCode.PERMERROR, "exists:n3.example")
    resolver.add("n3.example", "A", "127.0.0.1")
    result = check(resolver, CLIENT, SENDER)
    assert (result.code, result.void_lookups) == (SpfCode.PASS, 2)


def test_an_mx_list_is_one_term_however_many_of_its_hosts_have_no_address() -> None:
    """RFC 7208 §4.6.4 counts terms; a client with IPv6 must not break domains with IPv4 alone."""
    resolver = zone(tea__example="v=spf1 mx -all")
    resolver.add("tea.example", "MX", *(f"{number} m{number}.example" for number in range(5)))
    resolver.add("m0.example", "A", CLIENT)
    result = check(resolver, V6, SENDER)
    assert (result.code, result.void_lookups) == (SpfCode.FAIL, 1)
    result = check(resolver, CLIENT, SENDER)
    assert (result.code, result.void_lookups) == (SpfCode.PASS, 0)
    resolver.add("tea.example", "MX", "0 .")
    result = check(resolver, CLIENT, SENDER)
    assert (result.code, result.void_lookups) == (SpfCode.FAIL, 0)


def test_the_hosts_of_an_mx_list_are_asked_at_once() -> None:
    resolver = zone(tea__example="v=spf1 mx -all")
    resolver.add("tea.example", "MX", "1 a.example", "2 b.example", "3 A.example.", "4 .")
    inquiry = check_host(CLIENT, "tea.example", SENDER, "h", receiver=RECEIVER, now=NOW)
    asked = [next(inquiry)]
    for _ in range(2):
        asked.append(inquiry.send(tuple(ask(resolver, question) for question in asked[-1])))
    assert asked[-1] == (Question("a.example", "A"), Question("b.example", "A"))


def test_an_mx_host_that_matches_counts_beside_one_that_is_silent() -> None:
    resolver = zone(tea__example="v=spf1 mx -all")
    resolver.add("tea.example", "MX", "1 a.example", "2 b.example")
    resolver.time_out("a.example", "A")
    resolver.add("b.example", "A", CLIENT)
    result = check(resolver, CLIENT, SENDER)
    assert (result.code, result.unanswered) == (SpfCode.PASS, ())


def test_more_than_ten_mx_hosts_are_a_permerror_and_are_not_asked() -> None:
    resolver = zone(tea__example="v=spf1 mx -all")
    resolver.add("tea.example", "MX", *(f"{number} m{number}.example" for number in range(11)))
    result = check(resolver, CLIENT, SENDER)
    assert (result.code, result.term, len(resolver.queries)) == (SpfCode.PERMERROR, "mx", 2)


def test_only_the_first_ten_names_of_the_client_are_looked_at() -> None:
    resolver = zone(tea__example="v=spf1 ptr -all")
    names = [f"p{number}.tea.example" for number in range(11)]
    reverse = "1.2.0.192.in-addr.arpa"
    resolver.add(reverse, "PTR", *names)
    resolver.add("p10.tea.example", "A", CLIENT)
    assert check(resolver, CLIENT, SENDER).code is SpfCode.FAIL
    assert len(resolver.queries) == 12
    resolver.add(reverse, "PTR", *reversed(names))
    assert check(resolver, CLIENT, SENDER).code is SpfCode.PASS


def test_ptr_takes_the_domain_itself_and_what_is_below_it_only() -> None:
    resolver = zone(tea__example="v=spf1 ptr:Tea.example -all")
    for name, code in (
        ("tea.Example", SpfCode.PASS),
        ("a.b.TEA.example", SpfCode.PASS),
        ("green-tea.example", SpfCode.FAIL),
        ("example", SpfCode.FAIL),
    ):
        resolver.add("1.2.0.192.in-addr.arpa", "PTR", name)
        resolver.add(name, "A", CLIENT)
        assert check(resolver, CLIENT, SENDER).code is code, name


def test_a_silent_reverse_zone_is_no_match_but_is_told() -> None:
    resolver = zone(tea__example="v=spf1 ptr -all")
    question = Question.reverse(CLIENT)
    resolver.time_out(question.name, "PTR")
    result = check(resolver, CLIENT, SENDER)
    assert (result.code, result.unanswered) == (SpfCode.FAIL, (question,))
    resolver.add(question.name, "PTR", "a.tea.example", "b.tea.example")
    resolver.fail("a.tea.example", "A")
    resolver.add("b.tea.example", "A", CLIENT)
    result = check(resolver, CLIENT, SENDER)
    assert (result.code, result.unanswered) == (SpfCode.PASS, (Question("a.tea.example", "A"),))


def test_the_validated_name_is_asked_and_counted_once() -> None:
    resolver = zone(
        tea__example="v=spf1 exists:%{p}.a.test exists:%{p}.b.test ptr:none.test exists:%{p}.c.test"
    )
    resolver.add("1.2.0.192.in-addr.arpa", "PTR", "z.test", "MX.tea.example", "x.example")
    for name in ("z.test", "mx.tea.example"):
        resolver.add(name, "A", CLIENT)
    resolver.add("mx.tea.example.c.test", "A", "127.0.0.2")
    result = check(resolver, CLIENT, SENDER)
    assert (result.code, result.lookups) == (SpfCode.PASS, 5)
    assert resolver.queries.count(Question.reverse(CLIENT)) == 1


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["z.test", "mx.tea.example", "Tea.Example"], "tea.example"),
        (["z.test", "mx.tea.example"], "mx.tea.example"),
        (["z.test", "green-tea.example"], "z.test"),
        (["liar.tea.example", "z.test"], "z.test"),
        (["liar.tea.example"], "unknown"),
        ([], "unknown"),
    ],
)
def test_the_validated_name_is_the_domain_if_it_can_be(names: list[str], chosen: str) -> None:
    resolver = zone(tea__example="v=spf1 -all exp=why.test", why__test="%{p}")
    resolver.add("1.2.0.192.in-addr.arpa", "PTR", *names)
    for name in names:
        resolver.add(name, "A", "203.0.113.1" if "liar" in name else CLIENT)
    assert check(resolver, CLIENT, SENDER).explanation == chosen


def test_a_client_without_name_makes_ptr_come_to_nothing() -> None:
    resolver = zone(tea__example="v=spf1 ptr ptr:a.test -all")
    result = check(resolver, CLIENT, SENDER)
    assert (result.code, result.void_lookups) == (SpfCode.FAIL, 2)
    assert resolver.queries.count(Question.reverse(CLIENT)) == 1


def test_the_validated_name_counts_as_a_term() -> None:
    fillers = " ".join(f"a:h{number}.example" for number in range(9))
    resolver = zone(tea__example=f"v=spf1 {fillers} exists:%{{p}}.a.test +all")
    for number in range(9):
        resolver.add(f"h{number}.example", "A", "203.0.113.1")
    result = check(resolver, CLIENT, SENDER)
    assert (result.code, result.term) == (SpfCode.PERMERROR, "exists:%{p}.a.test")


def test_an_ipv4_address_inside_ipv6_is_an_ipv4_address() -> None:
    resolver = zone(tea__example="v=spf1 -ip6:::ffff:192.0.2.1 a -all")
    resolver.add("tea.example", "A", CLIENT)
    resolver.add("tea.example", "AAAA", "::ffff:192.0.2.1")
    assert check(resolver, f"::ffff:{CLIENT}", SENDER).code is SpfCode.PASS


def test_a_name_that_dns_cannot_hold_matches_nothing_and_is_not_asked() -> None:
    resolver = zone(tea__example="v=spf1 a:a..example mx:%{h}.x exists:%{l}.test -all")
    result = check(resolver, CLIENT, "a\x00b@tea.example", helo="h" * 64)
    assert (result.code, result.lookups, result.void_lookups) == (SpfCode.FAIL, 3, 0)
    assert len(resolver.queries) == 1


def test_a_local_part_beyond_ascii_matches_no_term_that_names_it() -> None:
    """RFC 8616 §4."""
    resolver = zone(
        tea__example="v=spf1 exists:%{L}.x.test include:%{s}.x.test exists:%{d} +all exp=%{l}.test"
    )
    resolver.add("tea.example", "A", "203.0.113.1")
    result = check(resolver, CLIENT, "jürgen@tea.example")
    assert (result.code, result.term) == (SpfCode.PASS, "exists:%{d}")
    resolver.add("tea.example", "TXT", "v=spf1 -all exp=%{L}.test")
    resolver.add("j%C3%BCrgen.test", "TXT", "not for this")
    assert check(resolver, CLIENT, "jürgen@tea.example").explanation == ""


def explained(text: str, sender: str = SENDER, helo: str = "client.test") -> str:
    resolver = zone(tea__example="v=spf1 -all exp=why.%{d}", why__tea__example=text)
    result = check(resolver, CLIENT, sender, helo)
    assert result.code is SpfCode.FAIL
    assert result.unanswered == ()
    return result.explanation


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("See http://%{d}/why.html?s=%{S}&i=%{I}&r=%{r}",
         "See http://tea.example/why.html?s=ann%40tea.example&i=192.0.2.1&r=mx.postern.test"),
        ("%{c} at %{t}: %{o}%_100%%", f"192.0.2.1 at {int(NOW)}: tea.example 100%"),
        ("I am %{p}", "I am unknown"),
        ("the %{x}-files", ""),
        ("caf\xe9", ""),
        ("a\r\nb", ""),
        ("", ""),
        ("x" * 3000, ""),
        ("x" * 1000, "x" * 400),
        ("%{s}" * 500, ("ann@tea.example" * 30)[:400]),
    ],
)  # fmt: skip
def test_explanations(text: str, shown: str) -> None:
    assert explained(text) == shown


def test_an_explanation_is_ascii_and_cannot_break_out_of_its_line() -> None:
    assert explained("for %{l} of %{h}!", "jür\r\ngen@tea.example", "\x1b]0;x\x07h") == (
        "for j?r gen of  ]0;x h!"
    )


def test_an_explanation_is_asked_for_only_on_fail_and_only_of_the_domain_itself() -> None:
    resolver = zone(
        tea__example="v=spf1 ip4:192.0.2.1 include:o.example -all exp=why.tea.example",
        o__example="v=spf1 -all exp=why.o.example",
        why__tea__example="ours",
        why__o__example="theirs",
    )
    assert check(resolver, CLIENT, SENDER).explanation == ""
    assert len(resolver.queries) == 1
    assert check(resolver, "203.0.113.1", SENDER).explanation == "ours"
    assert Question("why.o.example", "TXT") not in resolver.queries


def test_an_included_match_is_explained_by_the_record_that_includes() -> None:
    resolver = zone(
        tea__example="v=spf1 -include:o.example exp=why.tea.example",
        o__example="v=spf1 +all exp=why.o.example",
        why__tea__example="ours of %{d}",
    )
    assert check(resolver, CLIENT, SENDER).explanation == "ours of tea.example"


def test_a_redirected_fail_is_explained_by_where_it_leads() -> None:
    resolver = zone(
        tea__example="v=spf1 exp=why.tea.example redirect=o.example",
        o__example="v=spf1 -all exp=why.%{d}",
        why__tea__example="ours",
        why__o__example="theirs of %{d}",
    )
    assert check(resolver, CLIENT, SENDER).explanation == "theirs of o.example"


@pytest.mark.parametrize("status", [Status.SERVER_FAILURE, Status.TIMEOUT, Status.NO_NAME])
def test_a_fail_stays_a_fail_without_its_explanation(status: Status) -> None:
    resolver = zone(tea__example="v=spf1 -all exp=why.tea.example")
    resolver.add("why.tea.example", "TXT", status=status)
    result = check(resolver, CLIENT, SENDER)
    assert (result.code, result.explanation, result.unanswered) == (SpfCode.FAIL, "", ())


def test_a_redirect_is_void_where_there_is_an_all() -> None:
    resolver = zone(tea__example="v=spf1 redirect=o.example ?all")
    assert check(resolver, CLIENT, SENDER).code is SpfCode.NEUTRAL
    assert len(resolver.queries) == 1


def test_a_hostile_domain_is_safe_to_show() -> None:
    result = check(FakeResolver(), CLIENT, "x@y", domain="a\r\nb\x1b[31m" + "c" * 900)
    assert result.domain.startswith("a b [31mccc")
    assert len(result.domain) == len(result.decided_by) == 255


def test_an_inquiry_is_driven_without_any_other_state() -> None:
    resolver = zone(tea__example="v=spf1 a -all")
    resolver.add("tea.example", "A", CLIENT)
    first = check_host(CLIENT, "tea.example", SENDER, "h", receiver=RECEIVER, now=NOW)
    second = check_host("203.0.113.1", "tea.example", SENDER, "h", receiver=RECEIVER, now=NOW)
    next(first)
    assert drive(second, resolver).code is SpfCode.FAIL
    questions = first.send((ask(resolver, Question("tea.example", "TXT")),))
    assert questions == (Question("tea.example", "A"),)
