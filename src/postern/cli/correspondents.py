"""``postern mailbox known``: whom a mailbox has written to, and how one of them is forgotten."""

from collections.abc import Iterator
from contextlib import contextmanager

from postern.cli.output import ExitCode, JsonObject, fail, print_json, print_table, say
from postern.cli.site import address_of, granted, open_site
from postern.config.load import load
from postern.directory.correspondents import Correspondent
from postern.directory.model import Refused
from postern.directory.store.correspondents import CorrespondentStore
from postern.directory.store.site import SiteStore
from postern.mail.address import Address
from postern.runtime.clock import rfc3339
from postern.runtime.database.trouble import DatabaseTroubleError

MAX_SHOWN = 1_000


def known(mailbox: str, forget: str | None, *, as_json: bool) -> None:
    """Print whom the mailbox has written to, or forget one of them."""
    with open_site() as site:
        found = granted(site.mailbox(mailbox))
    with _opened() as store:
        if forget is not None:
            gone = address_of(forget)
            if store is None or not store.forget(found.id, gone):
                fail(ExitCode.NOT_FOUND, f"{found.address} has not written to {gone}")
            if as_json:
                print_json({"action": "forgotten", "address": str(gone)})
            else:
                say(f"Forgot {gone}; they are a stranger to {found.address} from now on.")
            return
        everyone = [] if store is None else store.of_mailbox(found.id, MAX_SHOWN)
    if as_json:
        print_json({"known": [correspondent_fields(one) for one in everyone]})
        return
    print_table(
        ("WRITTEN TO", "TIMES", "LAST", "REACHED"),
        (
            (str(one.address), str(one.times), _day(one.last_at), _day(one.delivered_at))
            for one in everyone
        ),
    )


def correspondent_of(mailbox_id: str, address: Address) -> Correspondent | None:
    """What is on file of one correspondent of a mailbox."""
    with _opened() as store:
        return None if store is None else store.find(mailbox_id, address)


def id_of(site: SiteStore, owner: Address) -> str:
    """The mailbox's id; empty where no mailbox of ours is behind the address."""
    found = site.mailbox(str(owner))
    return "" if isinstance(found, Refused) else found.id


def correspondent_fields(one: Correspondent) -> JsonObject:
    """One correspondent for programs."""
    return {
        "address": str(one.address),
        "times": one.times,
        "first_at": rfc3339(one.first_at),
        "last_at": rfc3339(one.last_at),
        "delivered_at": None if one.delivered_at is None else rfc3339(one.delivered_at),
    }


@contextmanager
def _opened() -> Iterator[CorrespondentStore | None]:
    """The file; None while the server has not made it, for it must be its owner's."""
    data_dir = load(None).data_dir
    if not CorrespondentStore.is_there(data_dir):
        yield None
        return
    try:
        store = CorrespondentStore.open(data_dir)
        try:
            yield store
        finally:
            store.close()
    except DatabaseTroubleError as error:
        fail(ExitCode.TEMPORARY, f"{data_dir}: {error}; see: postern doctor")


def _day(moment: float | None) -> str:
    return "-" if moment is None else rfc3339(moment)[:10]
