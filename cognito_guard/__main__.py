"""`python -m cognito_guard` is `cognito-guard`."""

import sys

from cognito_guard._cli.main import main

if __name__ == "__main__":
    sys.exit(main())
