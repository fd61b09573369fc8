"""What domains' MTA-STS policies say, for reports: as they were fetched, line by line."""

from postern.mail.sts import BadPolicy, parse_policy
from postern.routing.tls.shelf import Shelf


class ShelfTexts:
    """Looks on the shelf of a worker. A ``tally.PolicyTexts``."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def text_of(self, domain: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The policy's lines and its ``mx`` patterns; both empty where none is kept."""
        stored = self._shelf.policy(domain)
        policy = None if stored is None else parse_policy(stored.body)
        if stored is None or policy is None or isinstance(policy, BadPolicy):
            return (), ()
        lines = stored.body.decode("utf-8", "replace").splitlines()
        return tuple(line.strip() for line in lines if line.strip()), policy.patterns
