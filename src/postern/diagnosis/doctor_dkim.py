"""The doctor looks whether our domains' mail is signed."""

from collections.abc import Iterator

from postern.diagnosis.doctor_results import Result, Site, couldnt_tell, ok, warning
from postern.diagnosis.store import Unsigned, read_unsigned
from postern.runtime.clock import Instant

SITE_DB = "site.db"
PATIENCE_S = 86_400.0
"""So long whoever publishes records may take before it looks forgotten."""
NAMED = 3


def examine_dkim(site: Site, now: Instant) -> Iterator[Result]:
    """Domains without a key that signs, and keys whose records nobody published."""
    path = site.data_dir / SITE_DB
    if not path.exists():
        return
    found = read_unsigned(path, now - PATIENCE_S)
    if found is None:
        yield couldnt_tell("dkim.signed", f"{path} cannot be read", "run doctor as root")
    else:
        yield from judge_dkim(found)


def judge_dkim(found: Unsigned) -> Iterator[Result]:
    """Results for the domains of our own mailboxes; none where there are none."""
    if not found.domains:
        return
    missing = len(found.without_key)
    if missing:
        noun = "domain" if missing == 1 else "domains"
        waiting = dict(reversed(found.waiting))
        bare = [name for name in found.without_key if name not in waiting]
        first = found.without_key[0]
        fix = (
            f"postern dkim add {bare[0]}, and publish the record it prints"
            if bare
            else f"publish the record that this prints: postern dkim show {first} {waiting[first]}"
        )
        yield warning(
            "dkim.signed",
            f"mail of {missing} {noun} leaves unsigned: {_some(found.without_key)};"
            " many receivers want DKIM",
            fix,
        )
    else:
        yield ok("dkim.signed", f"mail of all {found.domains} domains is signed")
    for domain, selector in found.waiting[:NAMED]:
        yield warning(
            "dkim.published",
            f"the record {selector}._domainkey.{domain} was not seen in DNS for more than a day",
            f"postern dkim show {domain} {selector} prints it",
        )


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
