"""Run the tests of one module against each change of it, in the tree that it is started in.

    python -m tests.mutation.server arbkit/risk/budget.py --workers 2

What does not depend on the module is imported once; each change is then a fork that imports the rest, with the
changed text in place of the file's. Writes JSON, one line each: the number of changes, then every change and its
outcome.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import importlib.util
import json
import os
import resource
import signal
import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from importlib.machinery import ModuleSpec, SourceFileLoader
from itertools import accumulate
from pathlib import Path
from types import CodeType

import grimp
import pytest
from hypothesis import Phase, settings

from tests.mutation.changes import Change, changes
from tests.mutation.modules import MODULES

KILLED, SURVIVED, TIMEOUT = "killed", "survived", "timeout"
PLUGINS = ("pytest_asyncio.plugin", "pytest_timeout", "_hypothesis_pytestplugin")
LOADED = "loaded.json"  # what the tests import, as the first run of them finds it
SAID = "said.txt"  # and what it prints
MEMORY = 4 << 30  # a loop without an end must not take the machine along
LONG_S = 120  # of the processor or of waiting: more than any tests take
PATIENCE = 2  # times what the tests take of the processor: of the clock, a busy machine would end what is sound


class Changed(SourceFileLoader):
    """Finds one module, and gives it a text that is not its file's. Nothing of it is kept on disk."""

    def __init__(self, module: str, text: str) -> None:
        super().__init__(dotted(module), str(Path(module).resolve()))
        self.text = text

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return importlib.util.spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.text, self.path, "exec", dont_inherit=True)


def dotted(module: str) -> str:
    return module.removesuffix(".py").replace("/", ".")


def tested(module: str) -> int:
    """Run the tests of a module in this process; return pytest's exit code."""
    # A test that fails need not fail in the simplest way: finding that takes longer than all tests together.
    phases = (Phase.explicit, Phase.generate)
    settings.register_profile("mutation", deadline=None, derandomize=True, database=None, phases=phases)
    plugins = [word for name in PLUGINS for word in ("-p", name)]
    options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=mutation", *plugins]
    # File by file: most changes fail in the first, and importing what the others need takes longer than that.
    return next((code for file in MODULES[module] if (code := int(pytest.main([*options, file])))), 0)


def forked(module: str, text: str | None, most_s: int = LONG_S, said: str = os.devnull) -> int:
    """Start the tests against a text of the module in a process of their own; return its id.

    Without a text they run against the file's own, and what they import is listed.
    """
    if pid := os.fork():
        return pid
    code = 1
    try:
        out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(out, 1)
        os.dup2(out, 2)
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (most_s, most_s))
        if text is not None:
            sys.meta_path.insert(0, Changed(module, text))
        code = tested(module)
        if text is None:
            Path(LOADED).write_text(json.dumps(sorted(sys.modules)), encoding="utf-8")
    finally:
        os._exit(code)


def outcomes(todo: Iterable[Change], workers: int, most_s: int) -> Iterator[tuple[Change, str]]:
    """Yield each change with what came of it, as it is known; so many are tried at a time."""
    waiting = iter(todo)
    running: dict[int, tuple[Change, float]] = {}
    while True:
        while len(running) < workers and (change := next(waiting, None)) is not None:
            running[forked(change.module, change.text, most_s)] = (change, time.monotonic() + LONG_S)
        if not running:
            return
        time.sleep(0.002)
        for pid, (change, until) in list(running.items()):
            if time.monotonic() > until:
                os.kill(pid, signal.SIGKILL)
            done, status = os.waitpid(pid, os.WNOHANG)
            if not done:
                continue
            del running[pid]
            endless = os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)
            yield change, TIMEOUT if endless else SURVIVED if status == 0 else KILLED


def passed(pid: int) -> bool:
    return os.waitpid(pid, 0)[1] == 0


def preload(module: str, names: Sequence[str]) -> None:
    """Import what the tests import and what does not depend on the module, directly or at any remove."""
    graph = grimp.build_graph("arbkit", cache_dir=None)
    later = graph.find_downstream_modules(dotted(module)) | {dotted(module)}
    plugins = {name.partition(".")[0] for name in PLUGINS}  # pytest wants to rewrite their asserts
    for name in names:
        top = name.partition(".")[0]
        if top in {*plugins, "tests", "conftest"} or top.startswith("_"):
            continue  # `_asyncio` before asyncio is half an asyncio
        if later & set(accumulate(name.split("."), "{}.{}".format)) - {"arbkit"}:
            continue  # it or a package that it is in
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                importlib.import_module(name)
            except ImportError:
                continue  # made up while tests ran
    if early := (later & set(sys.modules)) - {"arbkit"}:  # the package itself looks names up only when asked
        raise SystemExit(f"imported before it is changed: {', '.join(sorted(early))}")
    gc.collect()
    gc.freeze()


def spent() -> float:
    """Return the processor's seconds of all forks that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def ready(module: str) -> float:
    """Import what can be; see that the tests pass, and fail when they must. Return what they take of the processor."""
    if not passed(forked(module, None, said=SAID)):
        raise SystemExit(f"the tests of {module} fail before anything is changed:\n{Path(SAID).read_text()[-2_000:]}")
    preload(module, json.loads(Path(LOADED).read_text(encoding="utf-8")))
    text = Path(module).read_text(encoding="utf-8")
    before = spent()
    if not passed(forked(module, text, said=SAID)):
        raise SystemExit(f"the tests of {module} fail in a fork:\n{Path(SAID).read_text()[-2_000:]}")
    took = spent() - before
    if passed(forked(module, f"{text}\nraise RuntimeError\n")):
        raise SystemExit(f"the tests of {module} do not read the text that is changed")
    return took


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation.server", description=__doc__)
    parser.add_argument("module", choices=list(MODULES))
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    took = ready(asked.module)
    todo = list(changes(asked.module))
    print(json.dumps({"changes": len(todo)}), flush=True)
    for change, outcome in outcomes(todo, asked.workers, 2 + round(PATIENCE * took)):
        told = {key: of for key, of in asdict(change).items() if key != "text"}
        print(json.dumps({**told, "outcome": outcome}), flush=True)


if __name__ == "__main__":
    main()
