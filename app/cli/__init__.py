"""The command line: result on standard output, all else on standard error."""
