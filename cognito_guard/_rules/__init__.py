"""
What is written at routes: takes an app, its routes and handlers, and returns what each asks of a caller.

Knows no tokens, and nothing of the request that is served. May import `_fastapi`, and the values that all use.
"""
