"""Checks look at one fact each and never decide; they do not know that there are rules.

A check is a function that is given what was ``Seen`` of the client and a ``Lookup``, and returns
what it ``Found``. ``check`` holds these values and is the place to begin when adding one.
"""
