"""Accepted mail that is not finished: what "250" promised."""
