"""
The keys of a user pool: a `kid` goes in, the key that verifies its signatures comes out.

This is the only folder that uses the network.
"""
