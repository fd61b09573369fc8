"""From spool to outcome: when, which group, how many at once, and what then.

``worker`` conducts: ``groups`` says who may go now, ``routing`` the way, ``delivery`` makes the
attempt, ``settle`` turns outcomes into states, ``tidings`` asks ``notices`` for what is owed.
"""
