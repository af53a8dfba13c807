"""What would have happened: the scan, the simulator and the runs over a tape, in integer columns."""
