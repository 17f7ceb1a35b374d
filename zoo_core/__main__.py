"""`python -m zoo_core` does the same as `zoo`, for when that script is not on the path."""

from zoo_core.cli.main import main

main()
