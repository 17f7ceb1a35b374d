"""A setting of the system's memory allocator that makes training faster."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
LARGE = 2**31 - 1  # bytes


def keep_freed_memory() -> bool:
    """Keep freed memory for the next step. The result is True if the system supports it.

    glibc gives large blocks back at once. A step on the CPU frees and asks for the same ones again, and the system has
    to fill them with zeros each time: about a fifth of a recurrent network's training time. The whole process then
    stays as large as it once was, so this is for a process of one's own, such as `zoo train`.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGE) and mallopt(M_TRIM_THRESHOLD, LARGE))
