"""The simulation, tested: an engine with one mistake in it must not get through its seeds.

`python -m tests.simulation.mutants.run` breaks a copy of the engine in every way of the catalogue, one at a time, and
tells which invariant noticed at which seed. One that nobody notices is a hole in the invariants.

    mutant.py     what a mutant is, and how a copy of the engine gets it
    catalogue.py  all of them; orders.py, trades.py, account.py and engine.py: by what they get wrong
    trial.py      one mutant in a process of its own, seed after seed
    run.py        all of them, and the table
"""
