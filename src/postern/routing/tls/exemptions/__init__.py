"""Addresses that mail goes to in clear, because TLS does not work there: made, tested, ended."""
