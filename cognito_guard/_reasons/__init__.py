"""
Why a request was refused: an error and what the request held go in, a sentence for the log comes out.

Lets nobody in and refuses nobody. May import `_tokens` and what that may import.
"""
