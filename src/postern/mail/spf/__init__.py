"""SPF (RFC 7208): whether this host may send for that domain.

``identity`` says who is asked about, ``evaluate.check_host`` asks, ``result`` is the answer with
its evidence. ``record`` and ``macro`` are the language of the records, ``client`` the address they
are held against; ``header`` writes the result down.
"""
