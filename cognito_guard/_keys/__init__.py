"""
The keys of a user pool: a `kid` goes in, the key that verifies its signatures comes out.

The only folder that uses the network. May import the values above it and the reports, no other folder.
"""
