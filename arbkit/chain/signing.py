"""The key of an account, and the only place that signs transactions with it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from arbkit.chain.gas import GasFees
from arbkit.core.errors import ConfigError
from arbkit.core.secrets import Secret
from arbkit.core.transaction import Attempt

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

# The accounts of "test test ... junk", whose keys every development node prints: money sent there is gone at once.
PUBLIC_TEST_ACCOUNTS: Final = frozenset(
    {
        "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
        "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
        "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
        "0x90F79bf6EB2c4f870365E785982E1f101E93b906",
        "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65",
        "0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc",
        "0x976EA74026E726554dB657fA54763abd0C3a0aa9",
        "0x14dC79964da2C08b23698B3D3cc7Ca32193d9955",
        "0x23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f",
        "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720",
    }
)


class Signer:
    """Signs for one account on one chain. The key is read once and never shown."""

    def __init__(self, key: Secret, chain_id: int, *, live: bool) -> None:
        """Raises ConfigError for a key that is none, and in live mode for one that everybody knows."""
        limit = sys.getrecursionlimit()
        from eth_account import Account

        sys.setrecursionlimit(limit)  # a library of it raises that for the whole process, a hundredfold
        try:
            self._account: LocalAccount = Account.from_key(key.reveal())
        except Exception:  # noqa: BLE001 - the library's own text can hold the key, so nothing of it is kept
            self._account = None  # type: ignore[assignment]
        if self._account is None:  # raised out here, or the library's exception would travel along as context
            raise ConfigError("the account's private key is not 32 bytes in hex")
        self.address: str = str(self._account.address)
        self.chain_id = chain_id
        if live and self.address in PUBLIC_TEST_ACCOUNTS:
            raise ConfigError(f"the key of {self.address} is public: it is for development nodes, not for live trading")

    def __repr__(self) -> str:
        return f"Signer({self.address}, chain {self.chain_id})"

    def sign(self, nonce: int, to: str, data: bytes, value: int, gas: int, fees: GasFees) -> Attempt:
        """Return a signed EIP-1559 transaction; its hash is known before anything is sent.

        Raises ConfigError for an address whose checksum is wrong, and for values that no transaction holds.
        """
        from eth_utils.address import to_checksum_address

        transaction: dict[str, Any] = {
            "type": 2,
            "chainId": self.chain_id,
            "nonce": nonce,
            "to": to,
            "value": value,
            "data": data,
            "gas": gas,
            "maxFeePerGas": fees.max_fee,
            "maxPriorityFeePerGas": fees.tip,
        }
        try:
            if to == to.lower():  # no capitals, so no checksum that could be wrong
                transaction["to"] = to_checksum_address(to)
            signed = self._account.sign_transaction(transaction)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"a call of {to} cannot be signed (is the address right?): {error}") from error
        raw, digest = bytes(signed.raw_transaction), bytes(signed.hash)
        return Attempt("0x" + digest.hex(), "0x" + raw.hex(), fees.max_fee, fees.tip)
