"""Put the table of `preceptor formats --markdown` into docs/formats.md.

Run: python scripts/formats_page.py
"""

from __future__ import annotations

from pathlib import Path

from preceptor.cli.formats import markdown_table, record_of, row_of
from preceptor.reward.formats import FORMATS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "formats.md"
BEGIN, END = "<!-- formats -->\n", "\n<!-- /formats -->"


def main() -> None:
    table = markdown_table([row_of(record_of(FORMATS[name]), wide=True) for name in sorted(FORMATS)])
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + BEGIN + table + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
