"""
Takes what happened, and makes log lines, events and attributes of traces of it. Thousands of refusals become a count.

Judges nothing.
"""
