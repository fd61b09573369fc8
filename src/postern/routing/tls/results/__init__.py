"""How TLS went, counted by day and policy: what reports about it are made of (RFC 8460)."""
