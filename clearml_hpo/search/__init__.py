"""The one door to Optuna: spaces, samplers, pruners, and what they learn.

space/               the search space
samplers.py          samplers by name
gp_tpe.py            a sampler: a Gaussian process, TPE and small changes in turn
gaussian_process.py  the Gaussian process
rows.py              points as rows of numbers
outlook.py           what a further trial is expected to gain
distributions.py     ranges in Optuna's words
pruners.py           pruners by name
falling.py           a pruner of our own, whose line falls
fidelity.py          lengths of training, and which paused trials go on
narrowing.py         ranges that a user has narrowed
learner.py           the study as the sampler sees it: ask and tell, by trial number
replay.py            what Optuna keeps of trials that ran in an earlier process
mirror.py            Optuna storages: a copy of a study, and studies to start from
rehearsal.py         a sampler and a pruner tried on made-up values
importances.py       which parameters matter
"""
