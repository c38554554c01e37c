"""
Refused requests: takes an error and the request, and makes the answer, and a sentence for the log.

Nothing here decides whether a request is refused.
"""
