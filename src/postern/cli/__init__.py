"""The command line: parse arguments, call the room, print."""
