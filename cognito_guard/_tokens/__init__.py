"""
Access tokens: takes a string, and returns the `Principal` that it was issued to.

Does not know HTTP or ASGI.
"""
