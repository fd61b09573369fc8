"""Temporaries: every exception that anybody made, with its reason, its owner and its end.

A rule, a route, a TLS exemption, a resolver for a zone, a ban: what each of them does belongs to
its own room; that each has a reason and an end, and is asked about when nobody uses it, belongs
here.
"""
