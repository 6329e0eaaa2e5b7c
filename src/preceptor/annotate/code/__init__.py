"""Labels of lines of code by running tests: one line, one step.

    execution.py   what tests say of a program and of a program one step away from it; `ExecutionAnnotator`
    mutation.py    `CodeMutation`: mutants of right programs (HGS-PRM)
    prlcoder.py    `PRLCoder`: lines mutated and refactored by a teacher (PRLCoder)
    teacher.py     teachers: `TreeTeacher` (no model), `PolicyTeacher`
    mutate.py, refactor.py, source.py   edits of one line of source

Rollouts label code too: `MathShepherd` and its kin on problems with the grader `code` and the segmenter `line`.
To add a method: a subclass of `ExecutionAnnotator` with `rewritten`, and a line in `ANNOTATORS`.
"""

from preceptor.annotate.code.execution import ExecutionAnnotator, Variants
from preceptor.annotate.code.mutate import mutations
from preceptor.annotate.code.mutation import CodeMutation
from preceptor.annotate.code.prlcoder import PRLCoder
from preceptor.annotate.code.refactor import refactorings
from preceptor.annotate.code.source import Edit
from preceptor.annotate.code.teacher import PolicyTeacher, Rewriting, Task, Teacher, TreeTeacher

__all__ = [
    "CodeMutation",
    "Edit",
    "ExecutionAnnotator",
    "PRLCoder",
    "PolicyTeacher",
    "Rewriting",
    "Task",
    "Teacher",
    "TreeTeacher",
    "Variants",
    "mutations",
    "refactorings",
]
