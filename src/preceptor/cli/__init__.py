"""The command line: thin. Each verb parses, calls the library and prints.

    app.py        `VERBS`: every verb by name; errors become messages and exit statuses
    console.py    progress line, tables, `--json`, exit statuses
    options.py    options that several verbs share, and what their words open
    reading.py    files of traces and labels, told apart by their content
    strategies.py from words to a search strategy with its settings, and to its helpers

    demo.py       demo, view                     data.py       sample
    labelling.py  label, methods                 rewards.py    train, score
    solving.py    solve                          comparing.py  compare
    learning.py   learn; offline.py is its half that samples and then trains
    crediting.py  credit                         formats.py    formats
    doctoring.py  doctor                         benches.py    bench NAME
    stores.py     store stats|import|export|verify

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
