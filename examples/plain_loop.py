"""Policy gradient in plain PyTorch with the advantages of a method of preceptor.credit."""
# ruff: noqa: T201

import torch

from preceptor.credit import METHODS, compute, rollout_of, signals_of
from preceptor.generation import Sampling
from preceptor.policy import load_policy, sample
from preceptor.policy.render import prompt_ids
from preceptor.reward import load_scorer
from preceptor.worlds import load_problems


def logprobs(policy, trace):
    """Of the sampled tokens, (L,)."""
    prompt = prompt_ids(policy.tokenizer, trace.problem)
    ids = torch.tensor([*prompt, *trace.token_ids])
    logits = policy.model(ids[None]).logits[0, len(prompt) - 1 : -1].float()
    return logits.log_softmax(-1).gather(1, ids[len(prompt) :, None])[:, 0]


def accuracy(traces):
    """Share of right ones among the decided; undecided is not wrong."""
    decided = [t.grade.correct for t in traces if t.grade.decided]
    return sum(decided) / len(decided) if decided else None


def train(
    policy, problems, method="progress", scorer="world:arithmetic", prompts=8, group=8, lr=5e-5, seed=0
):
    """One update for each `prompts` problems; yields (loss, accuracy of the samples)."""
    judge, sampling = load_scorer(scorer), Sampling(max_tokens=128)
    optimizer = torch.optim.AdamW(policy.model.parameters(), lr=lr)
    for start in range(0, len(problems) - prompts + 1, prompts):
        traces = [t for t in sample(policy, problems[start:][:prompts], group, seed, sampling) if t.token_ids]
        signals = signals_of(judge.score(traces), judge.question)
        batch = compute([rollout_of(t) for t in traces], signals, METHODS[method])
        tokens, total = max(1.0, sum(w.sum() for w in batch.token_weights)), 0.0
        for trace, advantages, weights in zip(traces, batch.advantages, batch.token_weights, strict=True):
            if weights.any():  # fresh samples: the ratio is 1, and this is the gradient of the clipped loss
                credit = torch.from_numpy(advantages * weights).float()
                loss = -(logprobs(policy, trace) * credit).sum() / tokens
                loss.backward()
                total += loss.item()
        torch.nn.utils.clip_grad_norm_(policy.model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        yield total, accuracy(traces)


if __name__ == "__main__":
    shipped = load_policy("world:arithmetic", dtype="float32")
    held_out = load_problems("world:arithmetic", n=128)
    print("held out:", accuracy(sample(shipped, held_out, 4, seed=1)))
    for loss, right in train(shipped, load_problems("world:arithmetic?split=train", n=480)):
        print(f"loss {loss:.4f}, accuracy {right:.3f}", flush=True)
    print("held out:", accuracy(sample(shipped, held_out, 4, seed=1)))
