"""
Access tokens: a string goes in, the `Principal` it speaks for comes out.

Knows nothing of HTTP or ASGI. May import `_keys` and what that may import.
"""
