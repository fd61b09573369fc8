"""DKIM: who vouches for a message by a signature over its header and body (RFC 6376).

Sans-IO: fed a header, pieces of the body, answers from DNS and the time. ARC builds on it.
"""
