"""SQL databases: opening, transactions, migrations, and noticing that another process wrote.

Only stores import from here; everyone else speaks to a store.
"""
