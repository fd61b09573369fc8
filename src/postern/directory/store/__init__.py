"""The directory's tables in ``site.db`` and the typed functions that read and write them."""
