"""
Why a request was refused: takes an error and the request, and makes a sentence for the log.

Nothing here decides about a request.
"""
