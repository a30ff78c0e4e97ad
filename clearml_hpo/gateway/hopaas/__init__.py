"""The wire of the unmodified `hopaas_client`.

routes.py       the six routes
setup.py        the set-up that a client sends with each ask, and the study file that it stands for
samplers.py     samplers and pruners by the names that clients send
suggestions.py  `optuna#uniform(0,1)`: the ranges of a set-up
"""
