"""
What is written at routes: takes an app, its routes and handlers, and returns what each asks of a caller.

Knows no tokens and no callers. May import `_fastapi`, and the values that all use.
"""
