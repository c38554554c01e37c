"""
A whole app: its routes go in; a list of what each requires, and documents made from that list, come out.

Knows no requests: may import `_rules`, not `_requests`.
"""
