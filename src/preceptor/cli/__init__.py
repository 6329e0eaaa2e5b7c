"""The command line: thin. Each verb parses, calls the library and prints.

    console.py    progress line, tables, `--json`, exit statuses
    options.py    options that several verbs share
    demo.py data.py rewards.py solving.py learning.py benches.py stores.py     the verbs

One more verb: a function in the file it belongs to and a line in `VERBS`. Its docstring is its help and ends
in a working example.
"""

from __future__ import annotations

import os
import sys

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `preceptor`; returns the exit status."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from preceptor.cli.app import call

    status = call(sys.argv[1:] if arguments is None else arguments)
    if arguments is None:
        sys.exit(status)
    return status
