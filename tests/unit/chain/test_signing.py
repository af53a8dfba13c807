"""The key: checked, never shown, never one that everybody knows when it is meant in earnest."""

from __future__ import annotations

import time

import pytest
from eth_account import Account

from arbkit.chain.gas import GasFees
from arbkit.chain.signing import PUBLIC_TEST_ACCOUNTS, Signer
from arbkit.core.errors import ConfigError
from arbkit.core.secrets import Secret
from tests.chain.rig_fake import ACCOUNT, CONTRACT, KEY
from tests.figures import Reached

MNEMONIC = "test test test test test test test test test test test junk"
FEES = GasFees(80 * 10**9, 25 * 10**9)


def test_what_is_signed_is_what_was_meant_and_its_hash_is_known_before() -> None:
    attempt = Signer(KEY, 137, live=True).sign(3, CONTRACT, b"abc", 5, 90_000, FEES)
    assert Account.recover_transaction(attempt.raw) == ACCOUNT
    assert (attempt.max_fee, attempt.tip, attempt.cancels) == (FEES.max_fee, FEES.tip, False)
    again = Signer(KEY, 137, live=True).sign(3, CONTRACT, b"abc", 5, 90_000, FEES)
    assert again == attempt  # no chance in a signature: the same bytes, the same hash


def test_the_key_is_in_no_output() -> None:
    signer = Signer(KEY, 137, live=False)
    shown = f"{signer} {signer!r} {vars(signer)}"
    assert KEY.reveal()[2:] not in shown
    assert ACCOUNT in repr(signer)


@pytest.mark.parametrize("text", ["0x12", "no key at all", "0x" + "zz" * 32, "0x" + "00" * 32])
def test_a_key_that_is_none_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ConfigError, match="is not 32 bytes in hex") as refused:
        Signer(Secret(text), 137, live=False)
    assert text not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None


def test_the_keys_of_development_nodes_are_refused_in_live_mode_only() -> None:
    Account.enable_unaudited_hdwallet_features()
    accounts = [Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{at}") for at in range(10)]
    assert {account.address for account in accounts} == PUBLIC_TEST_ACCOUNTS
    for account in accounts:
        key = Secret("0x" + bytes(account.key).hex())
        assert Signer(key, 137, live=False).address == account.address
        with pytest.raises(ConfigError, match=f"key of {account.address} is public"):
            Signer(key, 137, live=True)


@pytest.mark.parametrize("to", ["0x5A" + "5a" * 19, "0x12", CONTRACT + "11"])
def test_an_address_with_a_slip_in_it_is_not_signed(to: str) -> None:
    with pytest.raises(ConfigError, match="is the address right"):
        Signer(KEY, 137, live=False).sign(0, to, b"", 0, 21_000, FEES)


@pytest.mark.no_cover  # traced, it takes twice as long: that would be told as ours
@pytest.mark.chain_figure
def test_what_a_signature_takes_is_told_and_the_fast_library_signs_it(reached: Reached) -> None:
    signer = Signer(KEY, 137, live=False)
    taken = []
    for nonce in range(200):
        began = time.thread_time_ns()  # of this thread alone: how busy the machine is, is another matter
        signer.sign(nonce, CONTRACT, bytes(200), 0, 90_000, FEES)
        taken.append(time.thread_time_ns() - began)
    median = sorted(taken)[len(taken) // 2] / 1e6
    reached(f"signing a transaction, CPU, median of {len(taken)}", f"{median:.2f} ms", "< 1 ms")
    import coincurve  # with it a signature takes a ninth of the time; it must not go missing unnoticed

    assert coincurve is not None
