"""What TLS mail must have on its way: what the recipient's domain publishes about it.

``dane`` asks for the TLSA records of mail hosts, ``sts`` keeps the policies of MTA-STS that
``sts_fetch`` brings, in ``store``; ``published`` puts both on the hosts that mail can go to.
"""
