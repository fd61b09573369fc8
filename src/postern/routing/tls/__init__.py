"""What TLS a hop must have, as domains, senders and the site ask; and where it can't be had.

``dane`` asks for the TLSA records of mail hosts, ``sts`` keeps the policies of MTA-STS that
``sts_fetch`` brings, in ``store``; ``published`` puts both on the hosts that mail can go to.
``demands`` joins all that is asked for one way, ``domains`` has what we ask for a domain ourselves,
``exemptions`` where TLS does not work, ``results`` how it went.
"""
