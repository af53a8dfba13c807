"""The fee sums compiled, for scans: exact int64, no overflow up to ten million shares at any rate up to 1.

`rate_ppm * size * (p * (10^6 - p)) ^ exponent` reaches 10^42 where int64 ends at 9 * 10^18, so the product is kept
as five digits in base 10^9. Bound: a digit is below 10^9 and every factor below 10^9 (a price or one dollar minus
it: at most 10^6; a rate: at most 10^6), so digit * factor + carry < 10^18 + 10^9. The product stays below 10^45:
10^13 (ten million shares) * 10^6 * (2.5 * 10^11) ^ 2 < 10^42.
"""

from arbkit.core.compiled import compiled
from arbkit.core.units import MICRO

BASE = 1_000_000_000

# Places in the array of a rule, see `rules.as_array`.
TAKER_RATE, MAKER_RATE, EXPONENT, STEP, ROUNDING, MINIMUM, PRECISION, KNOWN = range(8)


@compiled
def _times(a, b, c, d, e, factor):  # type: ignore[no-untyped-def]
    """Multiply a number of five digits in base 10^9, lowest first, by a factor below 10^9."""
    a *= factor
    b = b * factor + a // BASE
    c = c * factor + b // BASE
    d = d * factor + c // BASE
    e = e * factor + d // BASE
    return a % BASE, b % BASE, c % BASE, d % BASE, e


@compiled
def fee_micro(price, size, rate_ppm, exponent, step, half_up, minimum):  # type: ignore[no-untyped-def]
    """Return the fee of one fill in millionths of a dollar, as `rules.trade_fee` does, in int64."""
    if size <= 0 or rate_ppm <= 0 or price <= 0 or price >= MICRO:
        return 0
    a, b, c, d, e = size % BASE, size // BASE, 0, 0, 0
    a, b, c, d, e = _times(a, b, c, d, e, rate_ppm)
    for _ in range(exponent):
        a, b, c, d, e = _times(a, b, c, d, e, price)
        a, b, c, d, e = _times(a, b, c, d, e, MICRO - price)
    if exponent == 1:  # divided by 10^18: two digits fall away
        whole = d * BASE + c  # e is 0: the product is below 10^31
        half = 2 * b >= BASE  # whether the fraction is at least one half; a decides nothing, BASE is even
        rest = a > 0 or b > 0
    else:  # by 10^30: three digits and three decimals of the fourth
        whole = e * (BASE // 1000) + d // 1000
        half = 2 * (d % 1000) >= 1000
        rest = a > 0 or b > 0 or c > 0 or d % 1000 > 0
    if whole < minimum:
        return 0
    steps = whole // step
    over = whole % step
    if half_up:
        # over + fraction >= step / 2; all three doubled and the fraction floored, as the others are whole
        if 2 * over + (1 if half else 0) >= step:
            steps += 1
    elif over > 0 or rest:
        steps += 1
    return steps * step


@compiled
def order_fee_kernel(prices, sizes, n, rule, maker=False):  # type: ignore[no-untyped-def]
    """Return the fee of one buy order filled at its first `n` (price, size) levels under a rule as eight int64.

    One fill per level, in this order: exactly `FeeRule.order_fee`, so that a scan and the engine agree on every edge.
    Where the venue rounds balances, each fill's change (its cost rounded up as `units.cost` does, plus its trade fee)
    is rounded up to a unit of precision, and a unit is given back as soon as more than one has been collected.
    """
    if rule[KNOWN] == 0:
        return 0
    rate = rule[MAKER_RATE] if maker else rule[TAKER_RATE]
    unit = rule[PRECISION]
    fees = 0
    collected = 0
    for i in range(n):
        price, size = prices[i], sizes[i]
        fee = fee_micro(price, size, rate, rule[EXPONENT], rule[STEP], rule[ROUNDING] == 1, rule[MINIMUM])
        fees += fee
        if unit > 0:
            paid = price * (size // MICRO) + (price * (size % MICRO) + MICRO - 1) // MICRO
            rounding = -(paid + fee) % unit  # Python's and numba's % of a positive divisor is never negative
            collected += rounding
            fees += rounding
            if collected > unit:
                collected -= unit
                fees -= unit
    return fees
