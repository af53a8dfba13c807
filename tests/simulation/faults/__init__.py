"""A deterministic simulation of the whole engine under faults: seeded, in virtual time, checked after every event.

`python -m tests.simulation.faults.run --seeds 500` runs it; `--seed S --timeline` replays one seed as a story.

    server.py    exchanges: accounts, orders by key, matching, settlement, and their own ledger of the truth
    market.py    the books of other people, and what they trade
    network.py   delays both ways, and the client of a venue (`core.ports.Venue`)
    stream.py    books and order events on their way to us
    disk.py      what survives a crash (`core.ports.Journal`)
    loop.py      virtual time in which a process can die between any two steps
    process.py   the life of the engine: boot, crash, restart, and the person who looks after it
    injector.py  when and where a fault strikes, and how often it really did; table.py: every fault
    shadow.py    the journal read by other code than the engine's
    invariants.py  what must hold, whatever happens
    world.py     all of it from one seed
"""
