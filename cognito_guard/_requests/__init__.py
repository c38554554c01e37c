"""
One connection: an ASGI request goes in, the app's own response or a refusal comes out.

Knows one request at a time. May import `_tokens`, `_fastapi` and what these may import.
"""
