"""Rules: what people let through, block, hold or put into Junk, and how each check is treated.

``match`` says which mail a rule is about, ``rule`` what it does, ``shelf`` finds the rules of one
scope that fit without looking at the others, ``book`` puts the scopes of one recipient in order.
"""
