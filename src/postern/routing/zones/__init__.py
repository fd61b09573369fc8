"""Zones whose names are looked up through another resolver first, and until when."""
