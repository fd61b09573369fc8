"""``paths.db``: what is known of paths and MX groups, for all workers, and over restarts.

A file of its own: a commit to ``site.db`` would make all workers read their rules anew. A path is
written when its state changes, never for an attempt; each write moves ``seq``, so that another
worker reads only what is newer than what it knows. Nothing in it is precious: one that cannot be
read is set aside, and all paths are healthy until they show otherwise.
"""
