"""ARC: what those who handled a message found, each vouching for those before it (RFC 8617).

Sans-IO, on top of the room for DKIM.
"""
