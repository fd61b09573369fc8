"""Who is told of held mail: the mailbox's owner, or whoever answers for the domain."""

from postern.directory.names import POSTMASTER
from postern.directory.reader import Directory
from postern.directory.resolution import Gateway, Resolved
from postern.mail.address import Address, parse_address


class DirectoryOwners:
    """Asks the directory; for the loop's thread."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def places_of(self, owner: Address, named: str) -> tuple[Address, ...]:
        """Where a letter to ``owner`` goes.

        To the mailbox, also behind a customer's own server. Where there is none (any more), or the
        mail was to be sent on to somebody elsewhere, the postmaster of the domain that was written
        to is told (``named`` is what RCPT said), or the site's.
        """
        self._directory.refresh()
        if self._directory.mailbox(owner) is not None:
            return (owner,)
        domain = self._directory.domain(owner.domain)
        if domain is not None and domain.is_gateway:
            return (owner,)
        written_to = parse_address(named)
        domains = ([] if written_to is None else [written_to.domain]) + [""]
        for name in domains:
            postmaster = Address(POSTMASTER, name)
            resolution = self._directory.resolve(postmaster)
            if isinstance(resolution, Resolved):
                return tuple(place.address for place in resolution.destinations)
            if isinstance(resolution, Gateway):
                return (postmaster,)
        return (owner,)
