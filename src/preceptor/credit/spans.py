"""Steps in characters -> steps in the sampled tokens.

Works on the ids that were sampled and on where each of them ends in the text; nothing is decoded, split
or encoded again, so any tokenizer will do.
"""

from __future__ import annotations

from collections.abc import Sequence

from preceptor.errors import InputError


def token_spans(step_ends: Sequence[int], token_ends: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """`[a, b)` per step, tiling all tokens.

    A token belongs to the step its last character is in: ".\\n\\n" to the step it ends, "\\n\\nSo" to the
    step it begins. A token that adds no character (a part of a multi-byte one) goes with the next
    token that does; trailing ones (end of text) with the last step. A step whose text lies wholly inside
    a token of the next step gets an empty span. Without steps there are no spans.

    >>> token_spans([4, 9], [2, 5, 9, 9])     # the second token straddles the boundary
    ((0, 1), (1, 4))
    """
    at = 0
    for end in token_ends:
        if end < at:
            raise InputError(f"token ends: got {end} after {at}, expected non-decreasing character offsets.")
        at = end
    if not step_ends:
        return ()
    if at > step_ends[-1]:
        raise InputError(
            f"token ends: got a token that ends at character {at}, expected none beyond the last step's end "
            f"{step_ends[-1]}. Are they offsets into the text of this trace?"
        )
    spans, first = [], 0
    for step_end in step_ends[:-1]:
        last = first
        # tokens up to here end inside this step; those that add nothing at its very end wait for the next
        while last < len(token_ends) and token_ends[last] <= step_end:
            last += 1
        while last > first and token_ends[last - 1] == (token_ends[last - 2] if last > 1 else 0):
            last -= 1
        spans.append((first, last))
        first = last
    return (*spans, (first, len(token_ends)))
