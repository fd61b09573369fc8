"""DNS look-ups: asked once, kept as long as allowed, and never an exception.

``resolver.Resolver`` is the real one, ``fake.FakeResolver`` the one for tests; both are a
``lookup.Lookup``, which is what other rooms take.
"""
