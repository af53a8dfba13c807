"""The numbers of one account: who holds which, which is next, and where a hole holds up all that come after it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from arbkit.core.errors import ConfigError, InvariantViolation

_OWNED: set[tuple[int, str]] = set()


class NonceOwner:
    """The only one in this process that gives out numbers of an account on a chain, until `close`.

    Other processes and wallets can use the account all the same: what the chain says is listened to, and the numbers
    they took are never given out. `seen` is the highest count of mined numbers ever heard; it does not go back when a
    node lags or blocks are taken back. `gone` is how many are used for good by what we know ourselves.
    """

    def __init__(self, chain_id: int, account: str) -> None:
        """Raises ConfigError when the account has an owner."""
        if (chain_id, account) in _OWNED:
            raise ConfigError(f"{account} on chain {chain_id} has an owner of its numbers: two would collide")
        self._name = (chain_id, account)
        _OWNED.add(self._name)
        self.seen = 0
        self.gone = 0
        self._held: dict[int, str] = {}

    def close(self) -> None:
        """Let somebody else own the account's numbers."""
        _OWNED.discard(self._name)

    def hear(self, count: int) -> None:
        """Take note of how many numbers are used according to a node; lower than before changes nothing."""
        self.seen = max(self.seen, count)

    def hear_all(self, counts: Sequence[int]) -> None:
        """Take note of what several nodes say, so far as most of them do.

        One that makes numbers up would have all up to its own filled, at our cost; one too low costs a rebuild.
        """
        self.hear(vouched(counts))

    def hold(self, nonce: int, key: str) -> None:
        """Keep a number that was given out before a restart. Raises InvariantViolation when another key has it."""
        if self._held.setdefault(nonce, key) != key:
            raise InvariantViolation(f"number {nonce} is held by {self._held[nonce]} and by {key}")

    def take(self, key: str) -> int:
        """Give out the lowest number that is neither used nor held; a hole is filled before new ground is taken."""
        nonce = self.seen
        while nonce in self._held:
            nonce += 1
        self._held[nonce] = key
        return nonce

    def take_exactly(self, nonce: int, key: str) -> None:
        """Give out a hole. Raises InvariantViolation when somebody holds it."""
        if nonce in self._held:
            raise InvariantViolation(f"number {nonce} is no hole: {self._held[nonce]} holds it")
        self._held[nonce] = key

    def release(self, nonce: int) -> None:
        """Forget a number whose end is final."""
        self._held.pop(nonce, None)
        self.hear(nonce + 1)
        self.gone = max(self.gone, nonce + 1)

    def give_back(self, nonce: int) -> None:
        """Take back a number under which nothing was signed."""
        self._held.pop(nonce, None)

    @property
    def held(self) -> dict[int, str]:
        return dict(self._held)

    def holes(self, mined: int, most: int | None = None) -> tuple[int, ...]:
        """Return the free numbers between the chain's count of mined ones, as of now, and the highest held."""
        return holes(mined, self._held, most)


def vouched(counts: Sequence[int]) -> int:
    """Return how many numbers are used, or more, according to more than half of the nodes that said something."""
    return sorted(counts)[(len(counts) - 1) // 2]


def holes(mined: int, held: Iterable[int], most: int | None = None) -> tuple[int, ...]:
    """Return the numbers from `mined` up to the highest held that nobody holds: all above the first of them waits.

    `most` is how many of them at most, the lowest ones.
    """
    taken = set(held)
    return tuple(islice((nonce for nonce in range(mined, max(taken, default=mined)) if nonce not in taken), most))
