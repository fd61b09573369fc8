"""``postern rule`` as postmasters and scripts call it."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.cli.called import Postern, Said

from postern.directory.return_addresses import ReturnAddresses
from postern.directory.store.site import SiteStore
from postern.mail.address import Address
from postern.runtime.clock import SystemClock

WANG = "wang@harbour.example"


def ids(said: Said) -> list[str]:
    rules = said.whole["rules"]
    assert isinstance(rules, list)
    return [rule["id"] for rule in rules]


def checks(said: Said) -> dict[str, dict[str, object]]:
    found = said.whole["checks"]
    assert isinstance(found, list)
    return {line["check"]: line for line in found}


def test_a_rule_is_added_listed_and_ended(harbour: Postern) -> None:
    added = harbour(
        "rule", "allow", "198.51.100.24", "--waive", "mailfrom", "--for", "14d",
        "--reason", "ticket 812", "--domain", "harbour.example", "--json",
    )  # fmt: skip
    assert added.code == 0
    rule = added.whole["rule"]
    assert isinstance(rule, dict)
    assert rule["match"] == "198.51.100.24"
    assert (rule["effect"], rule["waive"], rule["scope"]) == ("allow", ["mailfrom"], "domain")
    assert (rule["hits"], rule["last_hit"], rule["reason"]) == (0, None, "ticket 812")
    assert rule["until"] is not None
    assert ids(harbour("rule", "list", "--json")) == [rule["id"]]
    assert ids(harbour("rule", "list", "--domain", "harbour.example", "--json")) == [rule["id"]]
    assert ids(harbour("rule", "list", "--mailbox", WANG, "--json")) == []
    ended = harbour("rule", "end", str(rule["id"]))
    assert ended.out == "Ended D1: let through 198.51.100.24, waive mailfrom.\n"
    assert harbour("rule", "list").out == ""
    assert harbour("rule", "end", str(rule["id"])).code == 4


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("allow", "nonsense", "--reason", "x"), 64, "names no mail; write an address"),
        (("allow", "all", "--reason", "x"), 2, "name the checks with --waive"),
        (("allow", "all", "--reason", " ", "--waive", "spf"), 2, "a rule needs a reason"),
        (("allow", "all", "--reason", "x", "--waive", "virus"), 2, "cannot be waived by anybody"),
        (("allow", "all", "--reason", "x", "--waive", "nose"), 2, "there is no check called nose"),
        (("block", "all", "--reason", "x", "--for", "1y"), 64, "write how long, such as 30m"),
        (("block", "all", "--reason", "x", "--for", "0d"), 64, "write how long, such as 30m"),
        (("block", "all", "--reason", "x", "--domain", "other.example"), 4, "other.example"),
        (("block", "all", "--reason", "x", "--mailbox", "nobody@harbour.example"), 4, "nobody"),
        (("block", "all", "--reason", "x", "--mailbox", WANG, "--domain", "a.example"), 64, "both"),
        (("system", "nose.red", "off"), 2, "there is no check called nose.red"),
        (("system", "virus.found", "off"), 2, "virus.found is locked"),
        (("end", "Q9"), 4, "there is no rule Q9"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(
    harbour: Postern, words: Sequence[str], code: int, text: str
) -> None:
    said = harbour("rule", *words)
    assert said.code == code
    assert text in said.err
    assert said.err.count("\n") == 1


def test_explain_tells_every_check_and_which_rule_decides(harbour: Postern) -> None:
    harbour("rule", "allow", "@tea.example", "--waive", "dnsbl", "--reason", "they moved",
            "--domain", "harbour.example")  # fmt: skip
    harbour("rule", "block", "@offers.example", "--reason", "never asked", "--mailbox", WANG)
    harbour("rule", "system", "spf.fail", "refuse", "--domain", "harbour.example")
    plain = checks(harbour("rule", "explain", WANG, "--json"))
    assert plain["ptr.missing"]["effect"] == "refuse"
    assert plain["spf.fail"] == {
        "check": "spf.fail", "treatment": "refuse", "effect": "refuse", "set_by": "domain",
        "locked": False, "waived_by": None, "waived_elsewhere": [],
    }  # fmt: skip
    assert plain["virus.found"]["locked"] is True
    assert plain["dnsbl.listed"]["waived_elsewhere"] == ["D1"]
    tea = harbour("rule", "explain", WANG, "--from", "li@tea.example", "--json")
    assert checks(tea)["dnsbl.listed"]["waived_by"] == "D1"
    assert tea.whole["rules"] == ["D1"]
    offers = harbour("rule", "explain", WANG, "--from", "x@offers.example", "--json")
    assert offers.whole["decides"] == {"effect": "refuse", "rule": "M2"}
    unset = harbour("rule", "system", "spf.fail", "default", "--domain", "harbour.example")
    assert unset.out == "spf.fail: as by default, for harbour.example; it holds from now on.\n"
    assert harbour("rule", "system", "nose.red", "default").code == 2


def test_explain_tells_that_junk_is_held_where_an_alias_leads_elsewhere(harbour: Postern) -> None:
    harbour("alias", "add", "sales@harbour.example", "desk@far.example")
    harbour("rule", "junk", "@offers.example", "--reason", "noise", "--domain", "harbour.example")
    asked = ("rule", "explain", "sales@harbour.example", "--from", "x@offers.example", "--json")
    said = harbour(*asked)
    assert said.whole["decides"] == {"effect": "hold", "rule": "D1"}
    assert checks(said)["dmarc.quarantine"]["effect"] == "hold"
    inside = harbour("rule", "explain", WANG, "--from", "x@offers.example", "--json")
    assert inside.whole["decides"] == {"effect": "junk", "rule": "D1"}


def test_explain_knows_return_addresses_of_forwarded_mail(harbour: Postern, folder: Path) -> None:
    site = SiteStore.open(folder / "data", SystemClock(), "test")
    returns = ReturnAddresses(site.srs_key(), SystemClock())
    site.close()
    harbour("rule", "junk", "all", "--reason", "noise", "--domain", "harbour.example")
    harbour("domain", "add", "lake.example")
    far = returns.rewrite(Address("ann", "far.example"), "harbour.example")
    assert harbour("rule", "explain", str(far), "--json").whole["decides"] == {
        "effect": "hold",
        "rule": "D1",
    }
    home = returns.rewrite(Address("wang", "harbour.example"), "lake.example")
    assert f"it is for {WANG}" in harbour("rule", "explain", str(home)).out
    forged = harbour("rule", "explain", "SRS0=A=B=far.example=ann@harbour.example")
    assert forged.code == 4


def test_explain_says_what_proof_changes(harbour: Postern) -> None:
    harbour("rule", "block", "all", "--reason", "closed", "--domain", "harbour.example")
    harbour("rule", "allow", "li@tea.example", "--reason", "a friend", "--mailbox", WANG)
    said = harbour("rule", "explain", WANG, "--from", "li@tea.example")
    assert said.code == 0
    lines = said.out.splitlines()
    assert lines[0] == f"Mail to {WANG} from li@tea.example"
    assert lines[1].startswith(
        "  if nothing is found against it: delivered; M2 decides: let through"
    )
    assert lines[2] == (
        "  and neither SPF nor DKIM proves the sender: refused; D1 decides: block all mail"
    )


def test_explain_of_a_domain_that_is_not_here_is_not_found(harbour: Postern) -> None:
    assert harbour("rule", "explain", "wang@elsewhere.example").code == 4


def test_a_new_rule_that_decides_for_another_says_so(harbour: Postern) -> None:
    harbour("rule", "block", "@tea.example", "--reason", "spam", "--domain", "harbour.example")
    nearer = harbour("rule", "allow", "li@tea.example", "--reason", "a friend", "--mailbox", WANG)
    assert nearer.err == (
        "postern: M2: from now on D1 (@tea.example) no longer decides for li@tea.example"
        f" to {WANG} if SPF or DKIM proves it\n"
    )


def test_a_new_rule_that_another_overrides_says_so(harbour: Postern) -> None:
    harbour("rule", "allow", "li@tea.example", "--reason", "a friend", "--mailbox", WANG)
    wider = harbour("rule", "block", "@tea.example", "--reason", "spam", "--mailbox", WANG)
    assert wider.err == ""  # other people of that domain are blocked
    same = harbour("rule", "block", "li@tea.example", "--reason", "no friend", "--mailbox", WANG)
    assert same.err == "postern: M3: from now on M1 (li@tea.example) never decides\n"
    ignored = harbour("rule", "allow", "all", "--waive", "spf", "--reason", "x", "--mailbox", WANG)
    assert ignored.err == ""


def test_what_becomes_of_unscanned_mail_is_set_and_shown(harbour: Postern) -> None:
    shown = checks(harbour("rule", "explain", WANG, "--json"))["virus.couldnt-tell"]
    assert (shown["effect"], shown["locked"]) == ("refuse-for-now", False)
    held = harbour("rule", "system", "virus.couldnt-tell", "hold", "--domain", "harbour.example")
    assert held.out.startswith("virus.couldnt-tell: held, for harbour.example;")
    shown = checks(harbour("rule", "explain", WANG, "--json"))["virus.couldnt-tell"]
    assert (shown["effect"], shown["set_by"]) == ("hold", "domain")
    passed = harbour("rule", "system", "virus.couldnt-tell", "note")
    assert passed.out.startswith("virus.couldnt-tell: passed on with a mark, for everybody;")
    for word in ("off", "junk"):
        refused = harbour("rule", "system", "virus.couldnt-tell", word)
        assert refused.code == 2
        assert "virus.couldnt-tell can be: note, hold, refuse" in refused.err
    assert harbour("rule", "system", "virus.found", "note").code == 2
