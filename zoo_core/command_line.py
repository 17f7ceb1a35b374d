"""What plugins need for commands like those of the core: options, tables, JSON, progress bars.

    from zoo_core.command_line import print_json, print_table, table_options

Results go to stdout, and messages to stderr. Importing this module imports neither torch nor numpy.
"""

from zoo_core.cli.hub_options import hub_options
from zoo_core.cli.names import data_option, reference_argument, references_argument
from zoo_core.cli.printing import (
    as_reference,
    bytes_bar,
    device_option,
    examples,
    is_main,
    json_option,
    print_json,
    progress_bar,
    talk,
)
from zoo_core.cli.table import print_table, table_options

__all__ = [
    "as_reference",
    "bytes_bar",
    "data_option",
    "device_option",
    "examples",
    "hub_options",
    "is_main",
    "json_option",
    "print_json",
    "print_table",
    "progress_bar",
    "reference_argument",
    "references_argument",
    "table_options",
    "talk",
]
