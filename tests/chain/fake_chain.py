"""A chain in memory for virtual time: a pool with Polygon's rules, blocks, fees, reorganisations, and nodes that fail.

It is one account's chain: whoever signs, the sender is `account`. What a contract would do is counted, not computed: a
mined call that succeeds is one more effect of its data. Chance comes from one seeded generator and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import rlp
from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

from arbkit.core.errors import CallRefused, ChainUnavailable, Refusal, SendRefused, SendUnknown

GWEI = 10**9
TIP_FLOOR = 25 * GWEI
BLOCK_S = 1.75
FINAL_BEHIND = 4  # blocks; reorganisations here are never deeper than 3
EXECUTE = keccak(text="execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)")[:4]


def error_data(text: str) -> str:
    """Return what a contract gives back when it refuses with this text."""
    return "0x" + (bytes.fromhex("08c379a0") + encode(["string"], [text])).hex()


@dataclass(frozen=True)
class Tx:
    hash: str
    raw: bytes
    nonce: int
    tip: int
    max_fee: int
    gas: int
    to: str
    value: int
    data: bytes

    @classmethod
    def read(cls, raw: bytes) -> Tx:
        fields = rlp.decode(raw[1:])
        _, nonce, tip, max_fee, gas, to, value, data = fields[:8]
        number = [int.from_bytes(one, "big") for one in (nonce, tip, max_fee, gas, value)]
        digest = "0x" + keccak(raw).hex()
        return cls(digest, raw, number[0], number[1], number[2], number[3], "0x" + to.hex(), number[4], data)


def _replaces(tx: Tx, known: Tx) -> bool:
    return tx.tip * 100 >= known.tip * 110 and tx.max_fee * 100 >= known.max_fee * 110


@dataclass
class Block:
    number: int
    hash: str
    base: int
    txs: tuple[Tx, ...] = ()
    ok: dict[str, bool] = field(default_factory=dict)


class FakeChain:
    """Implements `chain.node.Node` for one account."""

    def __init__(self, account: str, seed: int = 0, *, balance: int = 10**21) -> None:
        self.account = account
        self.random = random.Random(seed)
        self.balance = balance
        self.base: Callable[[int], int] = lambda _number: 30 * GWEI
        self.asked_tip: Callable[[int], int] = lambda _number: TIP_FLOOR  # below it nothing is mined
        self.told_tip: Callable[[int], int] = lambda number: max(
            TIP_FLOOR, self.asked_tip(number)
        )  # what the fee history says
        self.fails: Callable[[str, bytes], str] = lambda _to, _data: ""  # why a call would revert as of now
        self.answers: Callable[[str, bytes, int], bytes] = lambda _to, _data, _height: b""  # what contracts answer
        self.safe = ""
        # chances, each per occasion
        self.loses_reply = 0.0  # the transaction is in, the answer is not
        self.loses_request = 0.0
        self.drops = 0.0  # per block: a waiting transaction falls out of the pool
        self.hides = 0.0  # per question: a receipt or a transaction is not found, as nodes index late
        self.lags = 0.0  # per question: pending counts are answered as of the last block
        self.down = False
        self.refuses: Callable[[Tx], Refusal | None] = lambda _tx: None
        self._index: tuple[Block, dict[str, tuple[Tx, Block]]] | None = None
        self.blocks = [Block(0, self._hash(0), self.base(0))]
        self.pool: dict[int, Tx] = {}
        self.sends = 0
        self.foreign = 0

    # -- the chain -----------------------------------------------------------------------------------------------

    @property
    def number(self) -> int:
        return self.blocks[-1].number

    def mined(self, until: int | None = None) -> dict[str, tuple[Tx, Block]]:
        if until is not None:
            return {tx.hash: (tx, block) for block in self.blocks[: until + 1] for tx in block.txs}
        if self._index is None or self._index[0] is not self.blocks[-1]:
            self._index = (self.blocks[-1], {tx.hash: (tx, block) for block in self.blocks for tx in block.txs})
        return self._index[1]

    def count(self, until: int | None = None) -> int:
        return len(self.mined(until))

    def effects(self, until: int | None = None) -> Counter[bytes]:
        """Return how often each call took effect, rebuilt from the blocks."""
        found: Counter[bytes] = Counter()
        for tx, block in self.mined(until).values():
            if block.ok[tx.hash]:
                found.update(self._inner(tx.to, tx.data))
        return found

    def mine(self) -> Block:
        """Make a block of what the pool holds in order of numbers, as far as it pays."""
        number = self.number + 1
        base = self.base(number)
        block = Block(number, self._hash(number), base)
        txs = []
        nonce = self.count()
        while (tx := self.pool.get(nonce)) is not None:
            if tx.max_fee < base or min(tx.tip, tx.max_fee - base) < self.asked_tip(number):
                break
            txs.append(self.pool.pop(nonce))
            nonce += 1
        block.txs = tuple(txs)
        block.ok = {tx.hash: not self._why(tx.to, tx.data) for tx in txs}
        self.blocks.append(block)
        for nonce in [one for one in self.pool if self.random.random() < self.drops]:
            del self.pool[nonce]
        return block

    def reorganise(self, depth: int, *, back_to_pool: bool = True) -> None:
        """Put other, empty blocks in the place of the last ones; what they held waits again, or is forgotten."""
        gone = self.blocks[-depth:]
        del self.blocks[-depth:]
        for block in gone:
            for tx in block.txs:
                if back_to_pool:
                    self.pool.setdefault(tx.nonce, tx)
            self.blocks.append(Block(block.number, self._hash(block.number), block.base))

    def foreign_waits(self) -> Tx:
        """Let somebody else with our key put a transaction into the pool."""
        self.foreign += 1
        data = f"foreign {self.foreign}".encode()
        nonce = max([self.count() - 1, *self.pool]) + 1
        tx = Tx("0x" + hashlib.sha256(data).hexdigest(), b"", nonce, TIP_FLOOR, 10**13, 21_000, "0x", 0, data)
        self.pool[nonce] = tx
        return tx

    def use_number(self) -> None:
        """Let somebody else with our key take the next number, at once."""
        self.pool.pop(self.count(), None)
        waiting, self.pool = self.pool, {}
        tx = self.foreign_waits()
        self.pool = waiting
        number = self.number + 1
        self.blocks.append(Block(number, self._hash(number), self.base(number), (tx,), {tx.hash: True}))

    @contextlib.asynccontextmanager
    async def mining(self) -> AsyncIterator[None]:
        """Mine a block every 1.75 s."""

        async def run() -> None:
            while True:
                await asyncio.sleep(BLOCK_S)
                self.mine()

        task = asyncio.ensure_future(run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _hash(self, number: int) -> str:
        return "0x" + hashlib.sha256(f"{number} {self.random.random()}".encode()).hexdigest()

    # -- what calls do -------------------------------------------------------------------------------------------

    def _inner(self, to: str, data: bytes) -> list[bytes]:
        """Return the calls inside: a Safe's, or the call itself."""
        if to.lower() != self.safe.lower() or data[:4] != EXECUTE:
            return [data]
        kinds = "address uint256 bytes uint8 uint256 uint256 uint256 address address bytes".split()
        _, _, inner, operation, *_ = decode(kinds, data[4:])
        if not operation:
            return [inner]
        packed, found = decode(["bytes"], inner[4:])[0], []
        while packed:
            length = int.from_bytes(packed[53:85], "big")
            found.append(packed[85 : 85 + length])
            packed = packed[85 + length :]
        return found

    def _why(self, to: str, data: bytes) -> str:
        inner = self._inner(to, data)
        reasons = [reason for one in inner if (reason := self.fails(to, one))]
        if reasons and inner != [data]:
            return "GS013"
        return reasons[0] if reasons else ""

    def gas_of(self, to: str, data: bytes) -> int:
        """Return a plausible amount: 21,000 each transaction, 35,000 for a Safe, 12,000 for MultiSend, 60,000 a call."""
        inner = self._inner(to, data)
        if not data:
            return 21_000
        return 21_000 + 60_000 * len(inner) + 35_000 * (inner != [data]) + 12_000 * (len(inner) > 1)

    # -- the node ------------------------------------------------------------------------------------------------

    async def send(self, raw: bytes) -> None:
        await asyncio.sleep(0.05)
        self.sends += 1
        if self.down or self.random.random() < self.loses_request:
            raise SendUnknown("the nodes gave no usable answer")
        tx = Tx.read(raw)
        if tx.hash not in self.mined():
            self._admit(tx)
        elif self.random.random() < self.hides:  # mined, and the node that is asked has not indexed it
            raise SendRefused("nonce too low", Refusal.NONCE_TOO_LOW)
        if self.random.random() < self.loses_reply:
            raise SendUnknown("the answer was lost")

    def _admit(self, tx: Tx) -> None:
        if (kind := self.refuses(tx)) is not None:
            raise SendRefused(str(kind), kind)
        if tx.nonce < self.count():
            raise SendRefused("nonce too low", Refusal.NONCE_TOO_LOW)
        if tx.tip < TIP_FLOOR:
            raise SendRefused("transaction underpriced", Refusal.UNDERPRICED)
        known = self.pool.get(tx.nonce)
        if known is not None and known.hash != tx.hash and not _replaces(tx, known):
            raise SendRefused("replacement transaction underpriced", Refusal.REPLACEMENT_UNDERPRICED)
        if self.funds() < tx.gas * tx.max_fee + tx.value:
            raise SendRefused("insufficient funds", Refusal.INSUFFICIENT_FUNDS)
        self.pool[tx.nonce] = tx

    def funds(self) -> int:
        spent = 0
        for tx, block in self.mined().values():
            if tx.raw:
                spent += self.gas_of(tx.to, tx.data) * min(tx.max_fee, block.base + tx.tip)
        return self.balance - spent

    async def head(self) -> int:
        return int(await self.read("eth_blockNumber"), 16)

    async def batch(self, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        return [await self.read(*call) for call in calls]

    async def read_all(self, method: str, *params: object) -> list[Any]:
        return [await self.read(method, *params) for _ in range(2)]

    async def agreed(self, method: str, *params: object) -> Any:
        return await self.read(method, *params)

    async def read(self, method: str, *params: Any) -> Any:
        await asyncio.sleep(0.01)
        if self.down:
            raise ChainUnavailable("no node answers")
        return getattr(self, f"_{method.removeprefix('eth_')}")(*params)

    def _blockNumber(self) -> str:  # noqa: N802
        return hex(self.number)

    def _height(self, tag: str) -> int:
        if tag in ("latest", "pending"):
            return self.number
        if tag == "finalized":
            return max(0, self.number - FINAL_BEHIND)
        return int(tag, 16)

    def _getBlockByNumber(self, tag: str, _full: bool) -> Any:  # noqa: N802
        height = self._height(tag)
        if height > self.number:
            return None
        block = self.blocks[height]
        return {"number": hex(block.number), "hash": block.hash, "baseFeePerGas": hex(block.base)}

    def _getTransactionCount(self, _account: str, tag: str) -> str:  # noqa: N802
        count = self.count(self._height(tag))
        if tag == "pending" and self.random.random() >= self.lags:
            while count in self.pool:
                count += 1
        return hex(count)

    def _getTransactionReceipt(self, hash: str) -> Any:  # noqa: N802
        if self.random.random() < self.hides or hash not in self.mined():
            return None
        tx, block = self.mined()[hash]
        return {
            "transactionHash": hash,
            "blockNumber": hex(block.number),
            "blockHash": block.hash,
            "status": hex(block.ok[hash]),
            "gasUsed": hex(self.gas_of(tx.to, tx.data)),
            "effectiveGasPrice": hex(min(tx.max_fee, block.base + tx.tip)),
            "logs": [],
        }

    def _getTransactionByHash(self, hash: str) -> Any:  # noqa: N802
        if self.random.random() < self.hides:
            return None
        known = hash in self.mined() or any(tx.hash == hash for tx in self.pool.values())
        return {"hash": hash} if known else None

    def _getBalance(self, _account: str, _tag: str) -> str:  # noqa: N802
        return hex(self.funds())

    def _feeHistory(self, count: str, _tag: str, percentiles: list[int]) -> Any:  # noqa: N802
        last = self.blocks[-int(count, 16) :]
        rewards = [[hex(self.told_tip(block.number))] * len(percentiles) for block in last]
        bases = [hex(block.base) for block in last] + [hex(self.base(self.number + 1))]
        return {"baseFeePerGas": bases, "gasUsedRatio": [0.5] * len(last), "reward": rewards}

    def _refuse(self, call: dict[str, Any]) -> None:
        why = self._why(call["to"], bytes.fromhex(call.get("data", "0x")[2:]))
        if why:
            raise CallRefused(f"execution reverted: {why}", 3, error_data(why))

    def _estimateGas(self, call: dict[str, Any]) -> str:  # noqa: N802
        self._refuse(call)
        return hex(self.gas_of(call["to"], bytes.fromhex(call["data"][2:])))

    def _call(self, call: dict[str, Any], tag: str) -> str:
        data = bytes.fromhex(call.get("data", "0x")[2:])
        if call["to"].lower() == self.safe.lower() and data[:4] != EXECUTE:
            return "0x" + (1).to_bytes(32, "big").hex()  # a threshold of 1, and whoever asks is an owner
        self._refuse(call)
        return "0x" + self.answers(call["to"], data, self._height(tag)).hex()

    def _getCode(self, _address: str, _tag: str) -> str:  # noqa: N802
        return "0x60"
