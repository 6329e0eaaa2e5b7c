"""Each family's scores once more, written down naively from its documentation: one text, one forward pass, positions
found by searching, the head by hand. Only for texts without tricks; nothing of the package is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."
ACT_SYSTEM = (
    "You are a helpful and harmless assistant. You should think step-by-step and put your final answer "
    "within \\boxed{}."
)


class Checkpoint:
    """The files of a directory, opened with transformers alone."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.tokenizer: Any = AutoTokenizer.from_pretrained(directory)
        self.state = {k: v for f in sorted(directory.glob("*.safetensors")) for k, v in load_file(f).items()}

    def ids(self, text: str, special: bool = True) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=special).input_ids)

    def id_of(self, token: str) -> int:
        return int(self.tokenizer.convert_tokens_to_ids(token))

    def chat(self, *turns: tuple[str, str], answer: bool = False) -> list[int]:
        messages = [{"role": role, "content": content} for role, content in turns]
        text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=answer)
        return self.ids(text, special=False)

    @torch.no_grad()
    def states(self, ids: Sequence[int]) -> torch.Tensor:
        body = _body(self.directory)
        out: torch.Tensor = body(input_ids=torch.tensor([list(ids)])).last_hidden_state[0]
        return out

    @torch.no_grad()
    def logits(self, ids: Sequence[int]) -> torch.Tensor:
        out: torch.Tensor = _language_model(self.directory)(input_ids=torch.tensor([list(ids)])).logits[0]
        return out

    def linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        bias = self.state.get(f"{name}.bias", torch.zeros(()))
        return x @ self.state[f"{name}.weight"].T + bias


@lru_cache(maxsize=1)
def _body(directory: Path) -> Any:
    return AutoModel.from_pretrained(directory, dtype=torch.float32).eval()


@lru_cache(maxsize=1)
def _language_model(directory: Path) -> Any:
    if not (directory / "adapter_config.json").is_file():
        return AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    from peft import PeftModel

    base = AutoModelForCausalLM.from_pretrained(directory / "base", dtype=torch.float32)
    return PeftModel.from_pretrained(base, str(directory)).eval()


def places(ids: Sequence[int], token: int) -> list[int]:
    return [i for i, t in enumerate(ids) if t == token]


def qwen(model: Checkpoint, x: str, steps: Sequence[str], system: tuple[tuple[str, str], ...]) -> list[float]:
    ids = model.chat(*system, ("user", x), ("assistant", "".join(s + "<extra_0>" for s in steps)))
    at = places(ids, model.id_of("<extra_0>"))
    hidden = model.linear("score.0", model.states(ids)[at]).relu()
    return model.linear("score.2", hidden).softmax(-1)[:, 1].tolist()


def actprm_heads(model: Checkpoint, x: str, steps: Sequence[str]) -> torch.Tensor:
    ids = model.chat(("system", ACT_SYSTEM), ("user", x), answer=True)
    ids += model.ids("".join(s + "<extra_0>" for s in steps), special=False)
    h = model.states(ids)[places(ids, model.id_of("<extra_0>"))]
    columns = []
    for e in range(32):
        y = h
        for layer in ("nn1", "nn2", "nn_out"):
            weight, bias = (model.state[f"score.model.{layer}.{part}"][e] for part in ("weight", "bias"))
            y = y @ weight + bias
            y = y.relu() if layer != "nn_out" else y
        columns.append(y.sigmoid())
    return torch.cat(columns, -1)


def two_words(
    model: Checkpoint, ids: Sequence[int], at: Sequence[int], words: tuple[str, str], index: int
) -> list[float]:
    picked = model.logits(ids)[list(at)][:, [model.id_of(w) for w in words]]
    return picked.softmax(-1)[:, index].tolist()


def math_shepherd(model: Checkpoint, x: str, steps: Sequence[str]) -> list[float]:
    ids = model.ids(x + " " + "\n".join(f"Step {i}: {s} ки" for i, s in enumerate(steps, 1)))
    return two_words(model, ids, places(ids, model.id_of("▁ки")), ("▁+", "▁-"), 0)


def math_minos(model: Checkpoint, x: str, steps: Sequence[str]) -> list[float]:
    ids = model.ids(
        f"Human: {x}\n\nAssistant:" + "".join(f"Step {i}: {s} и\n" for i, s in enumerate(steps, 1))
    )
    return model.linear("score", model.states(ids)[places(ids, model.id_of("▁и"))])[:, 0].tolist()


def skywork(model: Checkpoint, x: str, steps: Sequence[str]) -> list[float]:
    """Pieces are tokenized one by one and the line break's id is appended, as documented."""
    ids, at = model.ids(x + "\n"), []
    for step in steps:
        ids += [*model.ids(step), model.id_of("Ċ")]
        at.append(len(ids) - 1)
    return model.linear("v_head.summary", model.states(ids)[at]).sigmoid()[:, 0].tolist()


def reasoneval(model: Checkpoint, x: str, steps: Sequence[str], small: bool, index: list[int]) -> list[float]:
    mark = model.tokenizer.pad_token
    prompt = f"Question:\n{x}\nAnswer:\nLet's think step by step.\n"
    ids, positions = [], []
    for i, token in enumerate(model.ids(prompt + mark + "".join(s + mark for s in steps))):
        if token == model.id_of(mark):
            positions.append(i - 1 - len(positions))
        else:
            ids.append(token)
    if (
        small
    ):  # the mark is the bos token: it was taken away too, and is put back after positions were counted
        ids, positions = [1, *ids], positions[2:]
    else:
        positions = positions[1:]
    return model.linear("score_head", model.states(ids)[positions]).softmax(-1)[:, index].sum(-1).tolist()


def math_psa(model: Checkpoint, x: str, steps: Sequence[str]) -> list[float]:
    ids = model.ids(f"{x} " + "".join(s + " \n\n\n\n\n" for s in steps))
    return two_words(model, ids, places(ids, model.id_of("ĠĊĊĊĊĊ")), ("Ġ+", "Ġ-"), 0)


def versaprm(model: Checkpoint, x: str, steps: Sequence[str]) -> list[float]:
    ids = model.ids(f"{x} \n\n" + "".join(s + " \n\n\n\n" for s in steps))
    return two_words(model, ids, places(ids, model.id_of("ĠĊĊĊĊ")), ("-", "+"), 1)


def apart(model: Checkpoint, x: str, steps: Sequence[str], tag: str) -> tuple[list[int], list[int]]:
    ids, at = model.ids(x), []
    for step in steps:
        ids += [*model.ids(step), model.id_of(tag)]
        at.append(len(ids) - 1)
    return ids, at


def pure(model: Checkpoint, x: str, steps: Sequence[str]) -> list[float]:
    ids, at = apart(model, x, steps, "ĊĊ")
    p = model.linear("score", model.states(ids)[at]).softmax(-1)
    return (p[:, 1] - p[:, 0]).tolist()


def trl(model: Checkpoint, x: str, steps: Sequence[str]) -> list[float]:
    ids, at = apart(model, x, steps, "Ċ")
    return model.linear("score", model.states(ids)[at]).softmax(-1)[:, 1].tolist()


def pqm(model: Checkpoint, x: str, steps: Sequence[str]) -> list[float]:
    ids = model.ids(f"[INST] {x} [/INST]\n" + "".join(s + " [PRM]\n" for s in steps))
    return model.linear("v_head.summary", model.states(ids)[places(ids, model.id_of("[PRM]"))])[:, 0].tolist()


def llemma(model: Checkpoint, x: str, steps: Sequence[str]) -> list[float]:
    """The second line break of every blank line of the solution."""
    prompt = model.ids(f"# Question\n\n{x}\n\n# Solution\n\n")
    ids = model.ids(f"# Question\n\n{x}\n\n# Solution\n\n" + "".join(s + "\n\n" for s in steps))
    assert ids[: len(prompt)] == prompt
    at = [i for i in places(ids, model.id_of("<0x0A>"))[1::2] if i >= len(prompt)]
    return model.logits(ids)[at].mean(-1).sigmoid().tolist()


def qwen_rm(model: Checkpoint, x: str, steps: Sequence[str]) -> list[float]:
    ids = model.chat(("system", SYSTEM), ("user", x), ("assistant", "\n".join(steps)))
    hidden = model.linear("score.0", model.states(ids)[-1]).relu()
    return model.linear("score.2", hidden).tolist()


def acemath(model: Checkpoint, x: str, steps: Sequence[str]) -> list[float]:
    system = "Please reason step by step, and check your final answer within \\boxed{}."
    ids = model.chat(("system", system), ("user", x), ("assistant", "\n".join(steps)))
    return model.linear("score", model.states(ids)[-1]).tolist()


def reasonflux_1_5b(model: Checkpoint, x: str, steps: Sequence[str]) -> list[float]:
    last = model.states(model.ids(x + "\n".join(steps)))[-1]
    return (last @ model.state["weight"].T + model.state["bias"]).sigmoid().tolist()


Reference = Callable[[Checkpoint, str, Sequence[str]], list[float]]
REFERENCES: dict[str, Reference] = {
    "acemath-rm": acemath,
    "actprm": lambda m, x, s: actprm_heads(m, x, s).mean(-1).tolist(),
    "actprm-spread": lambda m, x, s: actprm_heads(m, x, s).std(-1, unbiased=False).tolist(),
    "dorm": versaprm,
    "dprm": versaprm,
    "llemma": llemma,
    "math-minos": math_minos,
    "math-psa": math_psa,
    "math-shepherd": math_shepherd,
    "pqm": pqm,
    "pure": pure,
    "qwen": lambda m, x, s: qwen(m, x, s, (("system", SYSTEM),)),
    "qwen-rm": qwen_rm,
    "reasoneval-34b": lambda m, x, s: reasoneval(m, x, s, False, [1, 2]),
    "reasoneval-34b-redundancy": lambda m, x, s: reasoneval(m, x, s, False, [1]),
    "reasoneval-7b": lambda m, x, s: reasoneval(m, x, s, True, [1, 2]),
    "reasoneval-7b-redundancy": lambda m, x, s: reasoneval(m, x, s, True, [1]),
    "reasonflux-1.5b": reasonflux_1_5b,
    "reasonflux-7b": lambda m, x, s: qwen(m, x, s, ()),
    "skywork": skywork,
    "trl": trl,
    "versaprm": versaprm,
}
"""Scores of the steps; of an outcome model the one score."""
