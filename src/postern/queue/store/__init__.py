"""What the queue keeps in ``site.db``: commands to workers, and whose held mail was told of."""
