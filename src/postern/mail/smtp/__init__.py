"""SMTP as two machines, one for each end of the line: bytes in, events out (RFC 5321)."""
