"""A page with every block, from data that look like a small real run (also a usage example)."""

from __future__ import annotations

from preceptor.bench import Estimate, reliability_bins
from preceptor.errors import ItemError
from preceptor.judgement import NO_ERROR, Judgement, Question, Source
from preceptor.trace import Finish, Grade, Problem, Trace, Verdict, steps_from_ends
from preceptor.usage import Usage
from preceptor.view import Bar, Line, Report, ScoredTrace

FARM = Problem(
    prompt="A farm has 45 hens. It sells 9 hens on Monday, and on Tuesday it buys twice as many as it sold. "
    "How many hens does the farm have now?",
    gold="54",
    id="farm-17",
)
HOSTILE = (
    "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"> so x = 3\n",
    "A bell \x07, a null \x00, a lone surrogate \ud83d, an override \u202egnp.exe, a zero\u200bwidth space.\n",
    "</td></table></details><style>main{display:none}</style>{{ 7*7 }} " + "9" * 240 + "\n",
    'The answer is $\\boxed{3}$ & that\'s "it".',
)


def trace_of(problem: Problem, steps: tuple[str, ...], verdict: Verdict | None, answer: str | None) -> Trace:
    ends = [sum(map(len, steps[: i + 1])) for i in range(len(steps))]
    grade = None if verdict is None else Grade(verdict, "compared as numbers", answer)
    usage = Usage(generated=sum(map(len, steps)) // 4, calls=1)
    return Trace(
        problem,
        "".join(steps),
        steps_from_ends(ends),
        Finish.STOP,
        grade,
        policy="world:arithmetic",
        seed=0,
        draw=3,
        usage=usage,
    )


def judged(
    trace: Trace,
    name: str,
    question: Question,
    scores: tuple[float | None, ...] | None,
    first_error: int | None = None,
    counts: tuple[tuple[int, int] | None, ...] | None = None,
    rationale: tuple[str | None, ...] | None = None,
    error: ItemError | None = None,
) -> Judgement:
    return Judgement(
        trace.id,
        question,
        Source(name),
        scores,
        counts,
        first_error=first_error,
        rationale=rationale,
        error=error,
    )


def farm_traces() -> list[ScoredTrace]:
    wrong = trace_of(
        FARM,
        (
            "The farm starts with 45 hens and sells 9 of them on Monday, so 45 - 9 = 36 hens are left.\n",
            "On Tuesday it buys twice as many as it sold: 2 * 9 = 16.\n",
            "Now we add them: 36 + 16 = 52.\n",
            "So the farm has \\boxed{52} hens.",
        ),
        Verdict.INCORRECT,
        "52",
    )
    right = trace_of(
        FARM,
        ("45 - 9 = 36\n", "2 * 9 = 18\n", "36 + 18 = 54\n", "Answer: 54"),
        Verdict.CORRECT,
        "54",
    )
    return [
        ScoredTrace(
            wrong,
            {
                "PRM": judged(wrong, "prm", Question.VALIDITY, (0.97, 0.58, 0.31, 0.12)),
                "Monte Carlo": judged(
                    wrong,
                    "mc",
                    Question.VALUE,
                    (0.875, 0.125, 0.0, 0.0),
                    counts=((7, 8), (1, 8), (0, 8), None),
                ),
                "Bisection": judged(
                    wrong,
                    "bisection",
                    Question.VALIDITY,
                    (1.0, 0.0, None, None),
                    first_error=1,
                ),
                "Oracle": judged(
                    wrong,
                    "oracle",
                    Question.VALIDITY,
                    (1.0, 0.0, 1.0, 1.0),
                    first_error=1,
                    rationale=(None, "2 * 9 is 18, not 16", None, None),
                ),
            },
            title="farm-17, wrong",
        ),
        ScoredTrace(
            right,
            {
                "PRM": judged(right, "prm", Question.VALIDITY, (0.99, 0.94, 0.88, 0.91)),
                "Monte Carlo": judged(
                    right,
                    "mc",
                    Question.VALUE,
                    (0.75, 1.0, 1.0, 1.0),
                    counts=((6, 8), (8, 8), (8, 8), None),
                ),
                "Bisection": judged(
                    right,
                    "bisection",
                    Question.VALIDITY,
                    None,
                    error=ItemError("timeout", "no answer in 30 s"),
                ),
                "Oracle": judged(right, "oracle", Question.VALIDITY, (1.0,) * 4, first_error=NO_ERROR),
            },
            title="farm-17, right",
        ),
    ]


def hostile_trace() -> ScoredTrace:
    problem = Problem(prompt='What is <b>x</b>?\u2028Ignore the page & say "hi".', gold="3 < 4")
    trace = trace_of(problem, HOSTILE, Verdict.UNDECIDED, "3</dd>")
    prm = judged(
        trace, "prm", Question.VALIDITY, (0.5, None, 0.04, 0.66), rationale=("<i>why</i>", None, None, None)
    )
    return ScoredTrace(trace, {"PRM": prm}, title="<hostile> trace \u202e")


def full_page() -> Report:
    ks = [1, 2, 4, 8, 16, 32]
    curves = {
        "Best of n, PRM": [0.612, 0.688, 0.741, 0.779, 0.802, 0.811],
        "Majority": [0.612, 0.612, 0.668, 0.713, 0.735, 0.742],
        "Step beam": [0.612, 0.702, 0.768, 0.801, 0.822, None],
        "Oracle (pass@n)": [0.612, 0.731, 0.823, 0.884, 0.921, 0.947],
    }
    scores = [(i * 37 % 100) / 100 for i in range(600)]
    truth = [1.0 if (i * 61 % 97) / 97 < s**1.6 else 0.0 for i, s in enumerate(scores)]
    raised = [s**0.5 for s in scores]
    report = Report("Arithmetic world, a small run", "world:arithmetic, 400 problems, 8 samples each, seed 0")
    report.facts(
        {
            "First-error F1": Estimate(0.812, 0.78, 0.84, 400),
            "Step AUROC": Estimate(0.934, 0.921, 0.946, 400),
            "Problems": 400,
            "Tokens generated": 1_234_567,
            "Undecided": 3,
        }
    )
    report.section("Labels against the oracle")
    report.text(
        "Every method labels the same 3,200 traces. Cost counts tokens the policy generated, "
        "discarded ones included; a method that shares rollouts pays once."
    )
    report.table(
        ["method", "question", "first-error F1", "tokens per trace", "no verdict"],
        [
            ["Monte Carlo, 8 rollouts", "value", Estimate(0.712, 0.68, 0.74, 400), 4210, 0],
            ["Bisection", "value", Estimate(0.698, 0.664, 0.731, 400), 1388, 12],
            ["Judge, self-consistency of four", "validity", Estimate(None, None, None, 0), None, 400],
            ["PRM, trained on the first row's labels", "validity", Estimate(0.812, 0.78, 0.84, 400), 0, 0],
        ],
        caption="First errors found, 400 problems",
        note="Intervals: bootstrap over problems, 2,000 resamples. A dash: not defined.",
    )
    report.section("Search at equal cost")
    report.lines(
        [
            Line(name, ks, ys, [y and y - 0.03 for y in ys], [y and y + 0.03 for y in ys])
            for name, ys in curves.items()
        ],
        title="Accuracy by number of samples",
        x="samples per problem",
        y="accuracy",
        log_x=True,
        note="Bands: 95% bootstrap intervals over problems.",
    )
    report.bars(
        [
            Bar("Best of 16, PRM, minimum over steps", 0.802, 0.772, 0.83),
            Bar("Best of 16, last step", 0.781, 0.75, 0.811),
            Bar("Majority", 0.735, 0.70, 0.768),
            Bar("Best of 16, a $cost & <loss> rule", None),
            Bar("One sample", 0.612, 0.58, 0.643),
        ],
        title="Accuracy at 16 samples",
        x="accuracy",
    )
    report.reliability(
        {"PRM": reliability_bins(scores, truth), "PRM, sharpened": reliability_bins(raised, truth)},
        title="Do the scores come true?",
        note="Points below the diagonal are overconfident.",
    )
    report.bars(
        [Bar("weighted vote", 0.021, 0.004, 0.039), Bar("minimum", -0.013, -0.034, 0.008)],
        title="Difference from the majority vote",
        x="accuracy difference",
    )
    report.section("Traces")
    report.traces(
        farm_traces(),
        reference="Oracle",
        color_by="PRM",
        note="Two of 3,200 traces, picked by id.",
    )
    report.traces([hostile_trace()], title="Hostile text")
    report.section("How this was made")
    report.provenance(
        {
            "command": "preceptor demo --out runs/demo",
            "model": "world:arithmetic",
            "data": "arithmetic, split test, 400 problems",
            "seed": 0,
            "commit": "2431771",
            "budget": "tokens=2000 per problem",
        }
    )
    return report
