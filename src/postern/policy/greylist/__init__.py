"""Greylisting: who is suspicious and new is asked to come again, which mail servers do.

``suspicion`` says why somebody is, ``key`` what counts as the same mail again, ``standing`` what
becomes of it, ``store`` keeps it in ``greylist.db``, ``keeper`` does so on a thread of its own, and
``greylist`` is what reception asks.
"""
