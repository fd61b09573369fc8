"""``postern rule explain``: every check as it stands for one mailbox, and the rule that decides."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_address

from postern.cli.correspondents import correspondent_fields, correspondent_of, id_of
from postern.cli.output import ExitCode, JsonObject, fail, print_json, print_table, say
from postern.cli.site import address_of, directory_of, granted, open_site
from postern.directory.correspondents import Correspondent
from postern.directory.names import key_of
from postern.directory.resolution import NoSuchMailbox, NotOurs, Resolved
from postern.directory.return_addresses import ReturnAddresses
from postern.directory.store.site import SiteStore
from postern.mail.address import Address
from postern.mail.srs import is_srs
from postern.policy.explain import CheckLine, Explanation, explain
from postern.policy.judge import Gravity, Judgement
from postern.policy.recipient import is_postmaster
from postern.policy.rules.match import IP, Facts
from postern.policy.rules.rule import Scope, Treatment
from postern.policy.rules.store import Books
from postern.policy.wording import GRAVITIES, rule_in_words, treatment_in_words
from postern.runtime.clock import SystemClock, rfc3339


@dataclass(frozen=True, slots=True)
class _Asked:
    """What mail is asked about; ``owner`` is the mailbox that ``mailbox`` leads to.

    ``known``: what is on file where that mailbox has written to the sender.
    """

    mailbox: Address
    owner: Address
    sender: Address | None
    ip: IP | None
    helo: str
    known: Correspondent | None = None


def explain_rules(mailbox: str, sender: str, ip: str, helo: str, *, as_json: bool) -> None:
    """Print it; ends the command when something typed cannot be read."""
    typed = address_of(mailbox)
    clock = SystemClock()
    with open_site() as site:
        owner, is_outside = _owner(site, typed)
        mailbox_id = id_of(site, owner)
        book = Books(site.database, clock).of(owner, typed.domain)
    asked = _Asked(
        typed,
        owner,
        address_of(sender) if sender else None,
        _ip(ip) if ip else None,
        helo.lower(),
    )
    if asked.sender is not None:
        asked = replace(asked, known=correspondent_of(mailbox_id, asked.sender))
    said = _facts(asked, clock.now())
    proven = said
    if asked.sender is not None:
        is_known = asked.known is not None and not is_postmaster(typed)
        proven = replace(said, proven=frozenset({asked.sender.domain}), is_known=is_known)
    found, unproven = (
        explain(typed, book, facts, is_outside=is_outside) for facts in (proven, said)
    )
    if as_json:
        print_json(_fields(asked, found, unproven))
    else:
        _print(asked, found, unproven)


def _owner(site: SiteStore, typed: Address) -> tuple[Address, bool]:
    """Whose rules count for mail to that address, and whether it leads elsewhere.

    Or the end of the command.

    Where an alias leads to several mailboxes each has rules of its own: ask for them one by one.
    """
    directory = directory_of(site)
    granted(site.domain(typed.domain))
    if is_srs(typed.local):
        returned = ReturnAddresses(site.srs_key(), SystemClock()).read(typed.local)
        if isinstance(returned, Address):  # as SMTP takes it: a bounce, for whoever sent the mail
            if isinstance(directory.resolve(returned), NotOurs):
                return key_of(returned), True
            return _owner(site, returned)
    resolution = directory.resolve(typed)
    if isinstance(resolution, NoSuchMailbox):
        fail(ExitCode.NOT_FOUND, f"there is no mailbox {typed} here")
    if not isinstance(resolution, Resolved):
        return key_of(typed), False
    found = [directory.mailbox_of(one.address) for one in resolution.destinations if one.local]
    owners = [mailbox.address for mailbox in found if mailbox is not None]
    if len(owners) > 1:
        names = ", ".join(map(str, owners))
        fail(ExitCode.USAGE, f"{typed} leads to several mailboxes; ask for one of: {names}")
    is_outside = not owners and any(one.outside for one in resolution.destinations)
    return owners[0] if owners else key_of(typed), is_outside


def _ip(text: str) -> IP:
    try:
        return ip_address(text)
    except ValueError:
        fail(ExitCode.USAGE, f"--ip {text}: that is no IP address")


def _facts(asked: _Asked, now: float) -> Facts:
    """Mail as asked about, its header as plain as can be."""
    return Facts(
        now,
        asked.ip,
        asked.helo,
        mail_from=asked.sender,
        header_from=() if asked.sender is None else (asked.sender,),
        list_id="",
    )


# --- for people -----------------------------------------------------------------------------------


def _print(asked: _Asked, found: Explanation, unproven: Explanation) -> None:
    say(f"Mail to {asked.mailbox}{_asked_in_words(asked)}")
    if asked.owner.key != key_of(asked.mailbox).key:
        say(f"  it is for {asked.owner}, whose rules count")
    if asked.known is not None:
        last, times = rfc3339(asked.known.last_at)[:10], asked.known.times
        count = "once" if times == 1 else f"{times} times"
        say(f"  {asked.owner} has written to them, {count}, last on {last}: held where others are")
        say("  refused, if SPF or DKIM proves it, and never greylisted")
    if is_postmaster(asked.mailbox):
        say("  postmaster takes mail from everybody: only viruses, size and rate count")
    say(f"  if nothing is found against it: {_clean(found.clean)}")
    if _clean(unproven.clean) != _clean(found.clean):
        say(f"  and neither SPF nor DKIM proves the sender: {_clean(unproven.clean)}")
    for rule in found.fitting:
        say(f"  {rule.label} is about it: {rule_in_words(rule)}")
    say("")
    print_table(
        ("CHECK", "ITS FAIL", "SET BY", "RULES"),
        (
            (line.check, _effect(line), _set_by(line), "; ".join(_rules_of(line)))
            for line in found.checks
        ),
    )


def _asked_in_words(asked: _Asked) -> str:
    words = ""
    if asked.sender is not None:
        words += f" from {asked.sender}"
    if asked.ip is not None:
        words += f", handed in by {asked.ip}"
    return words + (f", which calls itself {asked.helo}" if asked.helo else "")


def _clean(judgement: Judgement) -> str:
    effect = GRAVITIES[judgement.gravity]
    rule = judgement.rule
    return effect if rule is None else f"{effect}; {rule.label} decides: {rule_in_words(rule)}"


def _effect(line: CheckLine) -> str:
    if line.waived_by is not None:
        return "waived"
    if line.gravity is Gravity.ACCEPT:
        is_off = line.setting.treatment is Treatment.OFF
        return treatment_in_words(line.check, Treatment.OFF if is_off else Treatment.NOTE)
    return GRAVITIES[line.gravity]


def _set_by(line: CheckLine) -> str:
    if line.is_locked:
        return "locked: cannot be waived"
    return "domain" if line.setting.scope is Scope.DOMAIN else "system"


def _rules_of(line: CheckLine) -> Iterable[str]:
    if line.waived_by is not None:
        yield f"waived by {line.waived_by.label} ({line.waived_by.match})"
    for rule in line.elsewhere:
        yield f"{rule.label} waives it for {rule.match}"


# --- for programs ---------------------------------------------------------------------------------


def _fields(asked: _Asked, found: Explanation, unproven: Explanation) -> JsonObject:
    return {
        "mailbox": str(asked.mailbox),
        "from": None if asked.sender is None else str(asked.sender),
        "ip": None if asked.ip is None else str(asked.ip),
        "helo": asked.helo or None,
        "known": None if asked.known is None else correspondent_fields(asked.known),
        "decides": _judgement_fields(found.clean),
        "decides_unproven": _judgement_fields(unproven.clean),
        "rules": [rule.label for rule in found.fitting],
        "checks": [_line_fields(line) for line in found.checks],
    }


def _judgement_fields(judgement: Judgement) -> JsonObject:
    rule = judgement.rule
    return {
        "effect": judgement.gravity.name.lower().replace("_", "-"),
        "rule": None if rule is None else rule.label,
    }


def _line_fields(line: CheckLine) -> JsonObject:
    waived_by = line.waived_by
    return {
        "check": line.check,
        "treatment": line.setting.treatment.value,
        "effect": line.gravity.name.lower().replace("_", "-"),
        "set_by": line.setting.scope.name.lower(),
        "locked": line.is_locked,
        "waived_by": None if waived_by is None else waived_by.label,
        "waived_elsewhere": [rule.label for rule in line.elsewhere],
    }
