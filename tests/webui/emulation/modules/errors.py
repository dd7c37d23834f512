"""Reports to the console."""

import sys
import traceback


def report(message, *, exc_info=False):
    """A message, with the traceback of the exception that is handled."""
    print("***", message, file=sys.stderr)
    if exc_info:
        traceback.print_exc()
