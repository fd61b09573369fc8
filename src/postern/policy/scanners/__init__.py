"""Scanners are programs that look at a whole message: for viruses, for spam, or for what else.

Each stands behind a ``Gate``: so many at a time, so many that wait, and a ``Breaker`` that leaves
it alone while it fails. What it could not do is "couldn't tell", with the cause and the limit met;
what becomes of that is the recipients' to decide.
"""
