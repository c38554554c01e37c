"""
A whole app: its routes go in, a list of what each requires comes out, and the documents made of it.

May import `_requests` and what that may import.
"""
