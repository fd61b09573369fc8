"""The one place where rooms are wired together; it holds no behaviour of its own."""
