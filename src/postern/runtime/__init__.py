"""What the rooms stand on: clock, database, durable files, sockets, resolver, processes."""
