"""Authentication-Results (RFC 8601): what was found out about a message, told in its header.

``results`` holds the values, ``methods`` fills them in for each method we report, ``build`` writes
a field, ``parse`` reads one (with ``reader``, the lexical part), and ``forged`` finds those that
pretend to be ours.
"""
