"""The spool's SQL: the file a worker writes, and the look from outside."""
