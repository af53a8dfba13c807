import pytest

from arbkit.history.stamps import is_coarse, parse_ns, snap, snap_price, snap_size

NOON = 1_767_873_600_000_000_000  # 2026-01-08T12:00:00Z


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2026-01-08T12:00:00Z", NOON),
        ("2026-01-08 12:00:00+00:00", NOON),
        ("2026-01-08T12:00:00.5Z", NOON + 500_000_000),
        ("2026-01-08T12:00:00.713407Z", NOON + 713_407_000),
        ("2026-01-08T12:00:00.463000+00:00", NOON + 463_000_000),
        ("2026-01-08T07:00:00.123456789-05:00", NOON + 123_456_789),
        ("2026-01-08T17:30:00+0530", NOON),
        ("1767873600", NOON),
        ("1767873600.000000001", NOON + 1),
        ("1970-01-01T00:00:00Z", 0),
    ],
)
def test_a_time_in_any_of_the_three_forms_is_exact_to_the_nanosecond(text: str, ns: int) -> None:
    assert parse_ns(text) == ns


@pytest.mark.parametrize(
    "text",
    ["", "noon", "2026-01-08", "2026-01-08T12:00:00", "2026-02-30T12:00:00Z", "2026-01-08T24:00:00Z", "1767873600000",
     "2026-01-08T12:00:00.0123456789Z", "2026-01-08T12:00:00+99:00", "-5", "nan", "١٢٣"],
)  # fmt: skip
def test_what_is_no_time_or_has_no_zone_or_could_be_milliseconds_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"time|zone|day|month"):
        parse_ns(text)


def test_a_time_without_zone_is_utc_only_where_the_importer_says_so() -> None:
    assert parse_ns("2026-01-08T12:00:00.000001", naive_utc=True) == NOON + 1_000


def test_only_bare_whole_seconds_are_coarse() -> None:
    assert is_coarse("1767838463")
    assert not is_coarse("1767838463.5")
    assert not is_coarse("2026-01-08T12:00:00Z")


@pytest.mark.parametrize(
    ("text", "millionths"),
    [("0.43999999999999995", 440_000), ("0.41000000000000003", 410_000), ("0.4600", 460_000), ("-247", -247_000_000)],
)
def test_float_residue_snaps_to_the_millionth(text: str, millionths: int) -> None:
    assert snap(text) == millionths


@pytest.mark.parametrize("text", ["0.4400005001", "0.0000005", "nan", "inf", "", "0,44", "1e30"])
def test_what_is_no_millionth_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a|not within|too large"):
        snap(text)


@pytest.mark.parametrize("text", ["44", "1.000001", "-0.01"])
def test_a_price_outside_a_dollar_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        snap_price(text)


def test_a_size_is_not_negative() -> None:
    assert snap_size("12.5") == 12_500_000
    with pytest.raises(ValueError, match="zero or more"):
        snap_size("-1")
