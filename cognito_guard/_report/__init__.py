"""
What happened goes in, log lines, events and notes on traces come out; thousands of refusals as a count.

Judges nothing. May import `events` and the values below it, no other folder.
"""
