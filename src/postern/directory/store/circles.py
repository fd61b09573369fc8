"""Refusing mail that would go in a circle, before it is written for good.

The change is already in the tables of the open transaction when it is judged, so the walk sees
exactly what workers would; a refusal rolls the transaction back.
"""

import sqlalchemy as sa

from postern.directory.expand import (
    MAX_DEPTH,
    MAX_DESTINATIONS,
    SITE_POSTMASTER,
    Box,
    Fork,
    Walk,
    step,
)
from postern.directory.resolution import NoSuchMailbox, Via
from postern.directory.store.lookup import Lookup
from postern.mail.address import Address


def circle_from(
    connection: sa.Connection, node: Address, target: Address | None = None
) -> str | None:
    """One sentence with the circle that starts at ``node``, or with the bound it breaks, or None.

    Args:
        connection: the transaction that wrote the change.
        node: an alias's address, ``Address("", domain)`` for a catch-all.
        target: the catch-all's target; None means that there is no catch-all.
    """
    source = Lookup(connection)
    fork = _fork_at(source, node, target)
    if fork is None:
        return None
    walk = Walk(source)
    walk.fork(fork, depth=1)
    if walk.circle is not None:
        if walk.circle == (node, node) and target is not None:
            return (
                f"{target!s} is no mailbox or alias, so the catch-all would send to "
                "itself; add it first"
            )
        return f"mail would go in a circle: {' -> '.join(map(_node_text, walk.circle))}"
    if walk.cut_short:
        return (
            f"{_node_text(node)} would lead through more than {MAX_DEPTH} aliases or to more than "
            f"{MAX_DESTINATIONS} destinations; make it shorter"
        )
    return None


def _fork_at(source: Lookup, node: Address, target: Address | None) -> Fork | None:
    if not node.local:
        return Fork(node, (target,), Via.CATCH_ALL) if target else None
    found = step(source, node)
    return found if isinstance(found, Fork) else None


def missing_targets(
    connection: sa.Connection, targets: tuple[Address, ...], own: Address | None
) -> tuple[Address, ...]:
    """Those targets of ours that nothing answers for now, except ``own``."""
    source = Lookup(connection)
    return tuple(
        target for target in targets if target != own and _leads_nowhere(step(source, target))
    )


def _leads_nowhere(found: object) -> bool:
    return isinstance(found, NoSuchMailbox) or (isinstance(found, Box) and not found.enabled)


def _node_text(node: Address) -> str:
    if node == SITE_POSTMASTER:
        return "postmaster"
    return str(node) if node.local else f"catch-all of {node.domain}"
