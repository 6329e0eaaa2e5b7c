"""Showing: self-contained static HTML pages, readable on a phone and without a network.

    report.py   `Report`: a page of blocks (section, text, facts, table, charts, traces, provenance)
    charts.py   lines, bars and reliability diagrams as inline SVG; `Line`, `Bar`
    traces.py   colored steps of real traces, all scorers side by side; `ScoredTrace`
    tables.py   how numbers, intervals and absences are printed
    scale.py    colors: the score scale and the series, light and dark
    text.py     hidden characters made visible
    templates/  one file a block, `page.html` around them, `style.css`

The pages, each drawn from the files of a run and nothing else:

    demo.py     `preceptor demo`
    doctor.py   `preceptor doctor`
    labels.py   labelling methods compared, as benchmarks/labels.py writes them
    compare.py  `preceptor compare`: search strategies at equal budgets
    trees.py    `preceptor solve`: the tree of every problem, drawn by templates/trees.js; tree_data.py: what it says
    learning.py `preceptor learn`: one training, or several side by side

To add a block: a method of `Report` that turns plain data into what a template prints, and the template.
Everything printed is escaped by the engine; nothing in the templates may be marked safe. Matplotlib and
Jinja are imported on first use.
"""

from __future__ import annotations

from preceptor.view.charts import Bar, Line
from preceptor.view.report import Report
from preceptor.view.traces import ScoredTrace

__all__ = ["Bar", "Line", "Report", "ScoredTrace"]
