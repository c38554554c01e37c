"""
The command `cognito-guard`: a command line goes in, text and an exit code come out.

One module for each subcommand. May import everything; nothing but `__main__` imports it.
"""
