"""From spool to outcome: when, which group, how many at once, and what then."""
