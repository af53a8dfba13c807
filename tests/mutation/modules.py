"""Which tests belong to which module, fastest first, and which changes of the code change nothing that it does."""

from __future__ import annotations

import re
from dataclasses import dataclass

RISK = "tests/unit/risk/"
EXECUTION = "tests/unit/execution/"
LAWS = "tests/property/test_risk_properties.py"

MODULES: dict[str, tuple[str, ...]] = {
    "arbkit/risk/barriers.py": (f"{RISK}test_barriers.py", f"{RISK}test_may_send.py"),
    "arbkit/risk/bounds.py": (f"{RISK}test_limits.py", f"{RISK}test_every_limit.py"),
    "arbkit/risk/budget.py": (f"{RISK}test_budget.py", LAWS),
    "arbkit/risk/caps.py": (f"{RISK}test_limits.py", f"{RISK}test_every_limit.py", LAWS),
    "arbkit/risk/daily.py": (f"{RISK}test_daily.py", f"{RISK}test_every_limit.py", LAWS),
    "arbkit/risk/exposure.py": (f"{RISK}test_exposure.py", f"{RISK}test_may_send.py", LAWS),
    "arbkit/risk/kill_switch.py": (f"{RISK}test_kill_switch.py",),
    "arbkit/risk/limits.py": (f"{RISK}test_limits.py", f"{RISK}test_every_limit.py", f"{RISK}test_may_send.py", LAWS),
    "arbkit/risk/oversize.py": (f"{RISK}test_may_send.py", LAWS),
    "arbkit/risk/pairs.py": (f"{RISK}test_pairs.py",),
    "arbkit/risk/stakes.py": (f"{RISK}test_stakes.py", f"{RISK}test_limits.py", f"{RISK}test_every_limit.py", LAWS),
    "arbkit/risk/state.py": (f"{RISK}test_limits.py", f"{RISK}test_every_limit.py", f"{RISK}test_may_send.py", LAWS),
    "arbkit/journal/ledger.py": (
        "tests/unit/journal/test_ledger.py",
        "tests/unit/journal/test_fold.py",
        f"{EXECUTION}test_reconcile.py",
        f"{EXECUTION}test_settlement.py",
    ),
    "arbkit/core/model.py": (
        "tests/unit/core/test_model.py",
        "tests/unit/journal/test_fold.py",
        f"{EXECUTION}test_rollback.py",
        f"{RISK}test_exposure.py",
    ),
    "arbkit/execution/accounting.py": (
        f"{EXECUTION}test_accounting.py",
        f"{EXECUTION}test_rollback.py",
        f"{EXECUTION}test_settlement.py",
        "tests/test_parallel_executor.py",
    ),
    "arbkit/fees/rules.py": (
        "tests/unit/fees/test_rules.py",
        "tests/unit/fees/test_venue_cases.py",
    ),
}

# cosmic-ray's operators, less those whose changes a first run tells (an order of magnitude) or that fit no number here.
OPERATORS = frozenset(
    """
    ReplaceBinaryOperator_Add_Sub ReplaceBinaryOperator_Sub_Add ReplaceBinaryOperator_Mul_Add
    ReplaceBinaryOperator_Mul_FloorDiv ReplaceBinaryOperator_FloorDiv_Mul ReplaceBinaryOperator_FloorDiv_Div
    ReplaceBinaryOperator_Div_Mul ReplaceBinaryOperator_Mod_FloorDiv ReplaceBinaryOperator_Pow_Mul
    ReplaceComparisonOperator_Eq_NotEq ReplaceComparisonOperator_NotEq_Eq ReplaceComparisonOperator_Is_IsNot
    ReplaceComparisonOperator_IsNot_Is ReplaceComparisonOperator_Lt_LtE ReplaceComparisonOperator_Lt_GtE
    ReplaceComparisonOperator_LtE_Lt ReplaceComparisonOperator_LtE_Gt ReplaceComparisonOperator_Gt_GtE
    ReplaceComparisonOperator_Gt_LtE ReplaceComparisonOperator_GtE_Gt ReplaceComparisonOperator_GtE_Lt
    ReplaceUnaryOperator_Delete_USub ReplaceUnaryOperator_Delete_Not ReplaceAndWithOr ReplaceOrWithAnd
    ReplaceTrueWithFalse ReplaceFalseWithTrue ReplaceBreakWithContinue ReplaceContinueWithBreak
    AddNot NumberReplacer ExceptionReplacer RemoveDecorator ZeroIterationForLoop
    """.split()
)


@dataclass(frozen=True)
class Same:
    """A change that changes nothing: patterns of the whole line before and after, and why."""

    before: str
    after: str
    why: str
    module: str = ""

    def fits(self, module: str, before: str, after: str) -> bool:
        here = not self.module or module == self.module
        return here and bool(re.fullmatch(self.before, before) and re.fullmatch(self.after, after))


# Only what cannot change what anybody sees: each says why. What survives and is not here is printed.
EQUIVALENT: tuple[Same, ...] = (
    Same(
        r"@dataclass\(frozen=True, (kw_only=True, )?slots=True\)",
        r"@dataclass\(frozen=True, (kw_only=True, )?slots=False\)",
        "slots save memory: of a frozen value no attribute can be set, whether it has a place or not",
    ),
    Same(
        r"if self\._at < self\._until < now:.*",
        r"if self\._at < self\._until <= now:.*",
        "at `now == until` the step that follows has the same end and the same most",
        "arbkit/risk/budget.py",
    ),
    Same(
        r"return f.* if value == round\(value, 2\) else .*",
        r"return f.* if value == round\(value, 1\) else .*",
        "a quotient that needs two decimals is written with exactly two either way",
        "arbkit/risk/bounds.py",
    ),
    Same(
        r"return legal\(trade, max\(0, room\) .*",
        r"return legal\(trade, max\( ?-1, room\) .*",
        "a size below nothing is no more legal than nothing",
        "arbkit/risk/caps.py",
    ),
    Same(
        r"(filled|worst) = .*zip\(unit_costs, ranges, strict=True\).*",
        r"(filled|worst) = .*zip\(unit_costs, ranges, strict=False\).*",
        "the other of the two is as strict with the same two",
        "arbkit/risk/exposure.py",
    ),
    Same(
        r"known, bid = max\(reserved, leg\.decision_cost\), 0",
        r"known, bid = max\(reserved, leg\.decision_cost\), (1|-1)",
        "what is known is at least nothing, and the larger counts; a bid is a millionth at least",
        "arbkit/risk/exposure.py",
    ),
    Same(
        r"return file\.read\(MOST_BYTES \+ 1\)",
        r"return file\.read\(MOST_BYTES \+ 2\)",
        "one byte too many tells as much as two",
        "arbkit/risk/kill_switch.py",
    ),
    Same(
        r"(text, at = said\[name\], said\.get|return 0, |return \(at if type).*",
        r"(text, at = said\[name\], said\.get\(\"at\", -1\)|return -1, \"\"|return \(at if type.* (else|\() ?-1, .*)",
        "no time is below nothing: 0 is later than none of them, and neither is -1",
        "arbkit/risk/kill_switch.py",
    ),
    Same(
        r"until = 0\.0",
        r"until = -1\.0",
        "a clock that has counted from nothing is past both",
        "arbkit/risk/kill_switch.py",
    ),
    Same(
        r"alone = len\(self\._reserved\) == 1",
        r"alone = len\(self\._reserved\) == 0",
        "it only spares a walk over the others where there are none",
        "arbkit/risk/limits.py",
    ),
    Same(
        r"for leg, of in zip\(trade\.legs, costs, strict=True\):",
        r"for leg, of in zip\(trade\.legs, costs, strict=False\):",
        "`_losing` comes before and has refused costs that are not one for each leg",
        "arbkit/risk/limits.py",
    ),
    Same(
        r"if at % NS_PER_S or not 0 <= at <= FOR_EVER:",
        r"if at % NS_PER_S or not -1 <= at <= FOR_EVER:",
        "-1 ns is no whole second",
        "arbkit/risk/pairs.py",
    ),
    Same(
        r"approvals\.append\(.*, now=0, .*",
        r"approvals\.append\(.*, now= 1, .*",
        "both are in the first second, and it is the second that counts",
        "arbkit/risk/pairs.py",
    ),
    Same(
        r"return \(EPOCH \+ timedelta\(seconds=ns // NS_PER_S\)\).*",
        r"return \(EPOCH \+ timedelta\(seconds=ns / NS_PER_S\)\).*",
        "times are whole seconds, and a quotient that is whole is exact",
        "arbkit/risk/pairs.py",
    ),
    Same(
        r"return max\(self\.(exposed|open_orders), .*\b0\b.*",
        r"return max\(self\.(exposed|open_orders), .*-1\b.*",
        "what is exposed and how many orders are open is never below nothing, and the larger counts",
        "arbkit/risk/state.py",
    ),
    Same(
        r"(filled|held): Size = Size\(0\).*",
        r"(filled|held): Size = Size\( ?(1|-1)\).*",
        "it is counted when it is made, and a default that is not nothing is counted away",
        "arbkit/core/model.py",
    ),
    Same(
        r"is_final: bool = False.*",
        r"is_final: bool = True.*",
        "likewise",
        "arbkit/core/model.py",
    ),
    Same(
        r"self\._move\(order\.book\.name, sign \* order\.side .*",
        r"self\._move\(order\.book\.name, sign // order\.side .*",
        "of ones the quotient is the product, with its sign",
        "arbkit/journal/ledger.py",
    ),
    Same(
        r"if TYPE_CHECKING:",
        r"if not TYPE_CHECKING:",
        "what is imported there only names types: numpy is there a little earlier",
        "arbkit/fees/rules.py",
    ),
    Same(
        r"turns.* start < (since|bound) <= end.*",
        r"turns.* start <= (since|bound) <= end.*",
        "`start` is among them in any case",
        "arbkit/fees/rules.py",
    ),
    Same(
        r"def trade_fee\(.*, minimum: int = 0\) -> Cash:",
        r"def trade_fee\(.*, minimum: int = -1\) -> Cash:",
        "no fee is below nothing",
        "arbkit/fees/rules.py",
    ),
    Same(
        r"return history\[0\]\[1\]",
        r"return history\[ ?-1\]\[1\]",
        "there is one: more have raised, and there is always the one at `start`",
        "arbkit/fees/rules.py",
    ),
    Same(
        r"for leg, stake in zip\(trade\.legs, new, strict=True\):",
        r"for leg, stake in zip\(trade\.legs, new, strict=False\):",
        "`intended` has made one stake for each leg",
        "arbkit/risk/caps.py",
    ),
)
