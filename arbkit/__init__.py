"""arbkit: would the legs of an arbitrage really have filled, at what cost, and is it safe to switch on?

`import arbkit as ak` costs a few milliseconds: each public name is looked up in its module when it is first used.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Final

    from arbkit.analysis.results import Comparison, Run, backtest, compare, load_run, scan, sweep
    from arbkit.backtest.mock_platform import MockPlatform
    from arbkit.backtest.scenario import Scenario
    from arbkit.backtest.simulated_venue import SimulatedVenue
    from arbkit.chain.batch import BatchTransactionManager
    from arbkit.chain.gas import GasPriceManager
    from arbkit.chain.polygon_optimizer import PolygonOptimizer
    from arbkit.chain.pool import RPCLoadBalancer
    from arbkit.chain.rpc import RPCEndpoint
    from arbkit.core.config import ExecutionConfig
    from arbkit.core.model import (
        ArbitrageOpportunity,
        Basket,
        ExecutionStrategy,
        Fill,
        LegStatus,
        MultiLegTrade,
        Order,
        TradeLeg,
    )
    from arbkit.core.retry import RetryStrategy
    from arbkit.detection.baskets import baskets
    from arbkit.execution.parallel_executor import ParallelExecutor
    from arbkit.history.importers import import_recording
    from arbkit.history.quality import ImportReport
    from arbkit.history.synthetic import synthetic_tape
    from arbkit.history.tape import Tape, read_tape
    from arbkit.integration import ArbitrageExecutionEngine
    from arbkit.metrics import ExecutionMetrics, MetricsCollector, PolygonGasTracker
    from arbkit.risk.limits import RiskManager

    MARKET: Final = ExecutionStrategy.MARKET
    LIMIT: Final = ExecutionStrategy.LIMIT
    HYBRID: Final = ExecutionStrategy.HYBRID

__version__ = "0.1.0"

__all__ = [
    # from recordings to a tape
    "import_recording",
    "ImportReport",
    "read_tape",
    "Tape",
    "synthetic_tape",
    # from a tape to an answer
    "baskets",
    "Basket",
    "scan",
    "backtest",
    "Run",
    "load_run",
    "compare",
    "Comparison",
    "sweep",
    "ExecutionConfig",
    "Scenario",
    "ExecutionStrategy",
    "MARKET",
    "LIMIT",
    "HYBRID",
    # the engine, and what it trades with
    "ArbitrageExecutionEngine",
    "ArbitrageOpportunity",
    "ParallelExecutor",
    "MultiLegTrade",
    "TradeLeg",
    "LegStatus",
    "Order",
    "Fill",
    "RiskManager",
    "ExecutionMetrics",
    "MetricsCollector",
    "SimulatedVenue",
    "MockPlatform",
    # the chain
    "PolygonOptimizer",
    "RPCEndpoint",
    "RPCLoadBalancer",
    "GasPriceManager",
    "RetryStrategy",
    "BatchTransactionManager",
    "PolygonGasTracker",
]

_MODULES = {
    "arbkit.analysis.results": ("Comparison", "Run", "backtest", "compare", "load_run", "scan", "sweep"),
    "arbkit.backtest.mock_platform": ("MockPlatform",),
    "arbkit.backtest.scenario": ("Scenario",),
    "arbkit.backtest.simulated_venue": ("SimulatedVenue",),
    "arbkit.chain.batch": ("BatchTransactionManager",),
    "arbkit.chain.gas": ("GasPriceManager",),
    "arbkit.chain.polygon_optimizer": ("PolygonOptimizer",),
    "arbkit.chain.pool": ("RPCLoadBalancer",),
    "arbkit.chain.rpc": ("RPCEndpoint",),
    "arbkit.core.config": ("ExecutionConfig",),
    "arbkit.core.model": (
        "ArbitrageOpportunity",
        "Basket",
        "ExecutionStrategy",
        "Fill",
        "LegStatus",
        "MultiLegTrade",
        "Order",
        "TradeLeg",
    ),
    "arbkit.core.retry": ("RetryStrategy",),
    "arbkit.detection.baskets": ("baskets",),
    "arbkit.execution.parallel_executor": ("ParallelExecutor",),
    "arbkit.history.importers": ("import_recording",),
    "arbkit.history.quality": ("ImportReport",),
    "arbkit.history.synthetic": ("synthetic_tape",),
    "arbkit.history.tape": ("Tape", "read_tape"),
    "arbkit.integration": ("ArbitrageExecutionEngine",),
    "arbkit.metrics": ("ExecutionMetrics", "MetricsCollector", "PolygonGasTracker"),
    "arbkit.risk.limits": ("RiskManager",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}
_STRATEGIES = ("MARKET", "LIMIT", "HYBRID")  # members of ExecutionStrategy, short enough for a notebook


def __getattr__(name: str) -> Any:
    """Fetch a public name from its module on first use (PEP 562) and keep it."""
    if name in _STRATEGIES:
        value = getattr(import_module("arbkit.core.model").ExecutionStrategy, name)
    elif name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


class _Package(ModuleType):
    """The package, in which `backtest` is the public call.

    Python binds a folder's name in its parent when the folder is first imported; the call would then be hidden by
    `arbkit/backtest`. The folder is found through `sys.modules` as ever.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
