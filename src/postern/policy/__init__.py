"""What is thought of a message: checks find facts, rules weigh them, ``judge`` decides.

``rules`` holds what people decided: for a mailbox, a domain, or the whole system. ``judge`` makes
one recipient's verdict of findings and rules; whoever shows a rule, explains it or replays it asks
the same function that SMTP asks.
"""
