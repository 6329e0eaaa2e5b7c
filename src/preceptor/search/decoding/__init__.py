"""Methods that act below the step: on tokens, on where a text goes on, and on when it may end.

Policies, which every strategy can search with:
    llm2.py       `Verified`: a token verifier joins every choice
    saffron.py    `Saffron`: a search over tokens with one reward pass per text (token_tree.py; trie.py and
                  next_logits.py compute every token once)
    entropies.py  `Entropies`, `Fragments`: what a local policy knew while it wrote
    guided.py     what the first and the last share; verifiers.py: trained models as they are asked here

Strategies:
    entropy_branching.py    branch where the policy is unsure; the leaves are the pool
    mur.py                  more candidates where a step is less sure than the running mean
    phi.py                  candidates by foresight and by how many futures agree (clusters.py)
    prompt_intervention.py  a trigger phrase where the policy is unsure: when, how, which
    successive_prompting.py a question at a time, asked and answered under different prompts
    probe_stop.py           a probe on hidden states says when to answer
    walk.py                 what strategies that follow one path share

To add one: a wrapper derives from `Guided` or is any policy; a strategy as everywhere in this package.
"""
