"""Every fault that the simulation can inject, by its id in the fault table."""

from __future__ import annotations

from tests.simulation.faults.injector import Fault
from tests.simulation.faults.table_fills import FILL_FAULTS
from tests.simulation.faults.table_home import HOME_FAULTS
from tests.simulation.faults.table_stream import STREAM_FAULTS
from tests.simulation.faults.table_venue import VENUE_FAULTS

FAULTS: dict[str, type[Fault]] = {one.id: one for one in (*VENUE_FAULTS, *FILL_FAULTS, *STREAM_FAULTS, *HOME_FAULTS)}
