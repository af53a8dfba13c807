"""Dated fee rules of the venues, each with its source, and their exact arithmetic in integers.

`rules` reads `rules.toml` and reckons in Python's ints, without numba: the engine uses it. `arithmetic` holds the
same sums compiled, for scans; properties hold the two together.
"""

from arbkit.fees.rules import FeeRule, OrderFees, as_array, covers, history_for, names, rule, rule_for, rules_for

__all__ = ["FeeRule", "OrderFees", "as_array", "covers", "history_for", "names", "rule", "rule_for", "rules_for"]
