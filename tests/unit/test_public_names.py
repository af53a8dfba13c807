"""What `import arbkit as ak` offers, pinned: a name is added or taken away here on purpose or not at all."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import arbkit

EXISTING = """
    import_recording ImportReport read_tape Tape synthetic_tape
    baskets Basket scan backtest Run load_run compare Comparison sweep ExecutionConfig Scenario
    ExecutionStrategy MARKET LIMIT HYBRID
    ArbitrageExecutionEngine ArbitrageOpportunity ParallelExecutor MultiLegTrade TradeLeg LegStatus Order Fill
    RiskManager ExecutionMetrics MetricsCollector SimulatedVenue MockPlatform
    PolygonOptimizer RPCEndpoint RPCLoadBalancer GasPriceManager RetryStrategy BatchTransactionManager PolygonGasTracker
""".split()

HEAVY = {"pandas", "plotly", "numba", "pyarrow", "numpy", "web3", "aiohttp", "typer", "tqdm", "IPython"}


def test_public_names_are_the_pinned_ones() -> None:
    assert sorted(arbkit.__all__) == sorted(EXISTING)
    assert len(set(arbkit.__all__)) == len(arbkit.__all__)


@pytest.mark.parametrize("name", EXISTING)
def test_name_resolves(name: str) -> None:
    assert getattr(arbkit, name) is not None
    assert name in dir(arbkit)


def test_strategies_are_members_of_the_enum() -> None:
    members = list(arbkit.ExecutionStrategy)
    assert sorted(members) == sorted([arbkit.MARKET, arbkit.LIMIT, arbkit.HYBRID])


def test_classes_and_functions_live_where_the_table_says() -> None:
    for name, home in arbkit._HOME.items():
        assert getattr(importlib.import_module(home), name) is getattr(arbkit, name)


def test_type_checkers_see_the_same_names_as_python() -> None:
    tree = ast.parse(Path(arbkit.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imported = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module != "typing"
        for alias in node.names
    }
    assert imported == arbkit._HOME


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="arbitrage_machine"):
        _ = arbkit.arbitrage_machine


def test_import_is_light() -> None:
    code = "import sys, arbkit; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.split())
