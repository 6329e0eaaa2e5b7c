"""What a server says of words and texts that were given to it: lists of likely tokens, and echoed prompts.

A list shows the k likeliest next tokens and, if it is none of them, the sampled one. So the smallest of the
k is an upper bound for every token that is not listed, and a listed token's probability is exact. A token
counts for the option it spells once spaces in front are taken away; the servers' spellings of that space
(`▁`, `Ġ`) count as spaces. An option that the tokenizer splits is never found: use one-token words.

An echoed prompt comes back token by token with its log-probabilities. They are used only where the tokens
spell prompt and text exactly and one token ends where the text begins; anything else is an error, never a
number for another text. Tokens in front that are not part of the prompt (bos) are passed over.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from preceptor.errors import InputError, ItemError
from preceptor.generation import Choice, Likelihood
from preceptor.policy.openai_answer import tokens_of
from preceptor.policy.retry import CallFailed
from preceptor.usage import Usage

SPACES = " ▁Ġ"
BEFORE_THE_PROMPT = 2
"""Tokens that a server may put in front of a prompt, at most."""


def distinct(options: Sequence[str]) -> list[str]:
    """The options without spaces around them; InputError unless there are two and they differ."""
    words = [option.strip() for option in options]
    if len(words) < 2 or len(set(words)) < len(words) or not all(words):
        raise InputError(
            f"options: got {list(options)}, expected two or more that differ in more than spaces"
        )
    return words


def choice_between(choice: Mapping[str, Any], options: Sequence[str], asked: int, spent: Usage) -> Choice:
    """Read one list; `asked` is the length that was asked for. Raises `CallFailed`."""
    listed = sorted(_listed(choice), key=lambda pair: -pair[1])
    found = [[lp for token, lp in listed if token.lstrip(SPACES) == option] for option in options]
    if not any(found):
        top = ", ".join(ascii(token[:20]) for token, _ in listed[:5])
        raise CallFailed("no-option", f"none of {list(options)} is among the next tokens, which begin {top}")
    missing = [k for k, lps in enumerate(found) if not lps]
    for k in missing:
        found[k] = [listed[:asked][-1][1]]
    high = max(max(lps) for lps in found)
    weights = [math.fsum(math.exp(lp - high) for lp in lps) for lps in found]
    total = math.fsum(weights)
    probs = tuple(w / total for w in weights)
    if not missing:
        return Choice(probs, min(1.0, math.exp(high) * total), spent)
    words = ", ".join(repr(options[k]) for k in missing)
    bound = ItemError("bounded-option", f"{words}: not listed, given the smallest listed probability")
    return Choice(probs, None, spent, bound)


def _listed(choice: Mapping[str, Any]) -> list[tuple[str, float]]:
    """(token, log-probability) of the first token's list, of either endpoint; `CallFailed` without one."""
    sent = choice.get("logprobs")
    pairs: list[tuple[Any, Any]] = []
    if isinstance(sent, dict):
        content, tops = sent.get("content"), sent.get("top_logprobs")
        if isinstance(content, list) and content and isinstance(content[0], dict):
            rows = content[0].get("top_logprobs")
            rows = rows if isinstance(rows, list) else []
            pairs = [(row.get("token"), row.get("logprob")) for row in rows if isinstance(row, dict)]
        elif isinstance(tops, list) and tops and isinstance(tops[0], dict):
            pairs = list(tops[0].items())
    good = [
        (token, float(lp))
        for token, lp in pairs
        if isinstance(token, str) and type(lp) in (int, float) and math.isfinite(lp)
    ]
    if not good:
        raise CallFailed(
            "no-logprobs",
            "the server sent no list of likely tokens; start it with one (vLLM: --max-logprobs), ask for a "
            "shorter one (top_logprobs) or judge by sampled verdicts",
        )
    return good


def echoed(choice: Mapping[str, Any], prefix: str, text: str, spent: Usage) -> Likelihood:
    """Read an echoed `prefix + text`. Raises `CallFailed`."""
    tokens, logprobs = tokens_of(choice)
    shown = choice.get("text")
    if not isinstance(shown, str) or prefix + text not in shown:
        raise CallFailed(
            "no-echo", "the server does not send the prompt back; likelihoods need one that does"
        )
    if not tokens or len(tokens) != len(logprobs):
        raise CallFailed("no-logprobs", "the server sent the prompt back without its log-probabilities")
    ends, first = _spelled(tokens, prefix, text)
    chosen = logprobs[first : first + len(ends)]
    if not all(type(lp) in (int, float) and math.isfinite(lp) for lp in chosen):
        raise CallFailed("no-logprobs", "a token of the text has no finite log-probability")
    usage = replace(spent, scored=len(ends), prefilled=max(0, spent.prefilled - len(ends)))
    return Likelihood((), tuple(ends), tuple(map(float, chosen)), usage=usage)


def _spelled(tokens: list[Any], prefix: str, text: str) -> tuple[list[int], int]:
    """Character end in `text` of each of its tokens, and the place of the first one."""
    whole = prefix + text
    for start in range(BEFORE_THE_PROMPT + 1):
        at, first = 0, 0
        ends: list[int] = []
        for place, token in enumerate(tokens[start:], start):
            if at == len(whole) or not isinstance(token, str) or not whole.startswith(token, at):
                break
            if at < len(prefix) < at + len(token):
                raise CallFailed(
                    "merged-token",
                    f"the token {token[:20]!a} covers the end of the prefix and the start of the text; move "
                    "the border to a place where the tokenizer splits",
                )
            at += len(token)
            if at > len(prefix):
                first = first if ends else place
                ends.append(at - len(prefix))
        if at == len(whole):
            return ends, first
    raise CallFailed("unaligned", "the server's tokens do not spell the prompt and the text")
