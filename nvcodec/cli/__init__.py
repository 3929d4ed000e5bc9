"""The command line: one module a command. The modules load what they need only when their command runs."""
