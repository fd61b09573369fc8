"""DMARC (RFC 9989): whose policy applies to a message, and whether its author's domain is proven.

``record`` reads policy records, ``names`` knows which names a tree walk visits, ``tree`` walks,
``alignment`` compares authenticated domains with the author's, ``evaluate`` gives the verdict, and
``external`` asks whether a reporting address outside of the domain wants the reports (RFC 9990).
"""
