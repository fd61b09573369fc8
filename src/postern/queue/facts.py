"""What of a message matters for the way it takes."""

from postern.routing.chooser import MailClass, MessageFacts
from postern.spool.message import Delivery, Message


def class_of(message: Message, delivery: Delivery) -> MailClass:
    """Whose mail it is, as other servers see it."""
    if message.sender.address is None:
        return MailClass.BOUNCE
    return MailClass.FORWARDED if delivery.forwarder else MailClass.USER


def facts_of(message: Message, delivery: Delivery) -> MessageFacts:
    """What of a message matters for its way."""
    address = message.sender.address
    domain = delivery.forwarder or ("" if address is None else address.domain)
    return MessageFacts(
        class_of(message, delivery),
        domain,
        message.aligned,
        message.tls_wish,
        message.hops,
        delivery.via,
    )
