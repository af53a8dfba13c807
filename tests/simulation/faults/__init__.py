"""A deterministic simulation of the whole engine under faults: seeded, in virtual time, checked after every event.

`python -m tests.simulation.faults.run --seeds 500` runs it; `--seed S --timeline` replays one seed as a story.

    server.py      exchanges: accounts, orders by key, matching, settlement, and their own ledger of the truth
    market.py      the books of other people, and what they trade
    wire.py        what travels, and how a client reads it
    network.py     delays both ways, and the client of a venue (`core.ports.Venue`)
    stream.py      books and order events on their way to us; bookmodel.py: what may be believed of them
    disk.py        what survives a crash (`core.ports.Journal`); switch.py: the folder of the kill file
    loop.py        virtual time in which a process can die between any two steps
    process.py     the life of the engine: boot, crash, restart, and the person who looks after it
    injector.py    when and where a fault strikes, and how often it really did; table_*.py: every fault
    shadow.py      the journal read by other code than the engine's
    seam.py        the one door from the fakes to what watches: an error there ends the run
    invariants.py  what must hold, whatever happens: invariant.py, invariants_*.py
    setting.py     markets, settings and limits; world.py: all of it from one seed
    story.py       one fault alone, for tests of what it must lead to; timeline.py: what happened, for people
    run.py         many seeds, and the table of what they came to
"""
