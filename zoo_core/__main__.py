"""`python -m zoo_core` is `zoo`: for where the script is not on the path."""

from zoo_core.cli.main import main

main()
