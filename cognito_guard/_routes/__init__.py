"""
A whole app: its routes go in; a list of what each requires, and documents made from that list, come out.

May import `_requests` and what that may import.
"""
