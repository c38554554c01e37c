"""
One connection: takes an ASGI request, and sends the app's own response or a refusal.

Knows one request at a time.
"""
