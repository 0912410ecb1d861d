"""The command: one file a command, each a thin shell over the library."""
