"""All mail that Postern itself writes, and the guards that keep it from writing to the innocent.

``failure``, ``delay`` and ``success`` are asked by the queue with what became of each recipient and
answer with values: a notice to send, a reason why none is owed, or that the message must be held.
``held`` tells the owner of a mailbox about such a message. Nothing here sends or stores.
"""
