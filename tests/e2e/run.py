#!/usr/bin/env python3
"""Runs the end-to-end tests: `run.py [--binary PATH] [--kills N] [--long] [NAME ...]`.

A NAME is part of a test module's or a test's name; without one, all run.
"""

import argparse
import os
import sys
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent


def select(suite, names):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from select(item, names)
        elif not names or any(name in item.id() for name in names):
            yield item


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True, type=Path)
    parser.add_argument("--kills", type=int, default=10, help="rounds of the kill -9 test")
    parser.add_argument("--long", action="store_true", help="suites of others at full length")
    parser.add_argument("--seed", type=int, default=None, help="seed of the random tests")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    os.environ["PEGASUS_BINARY"] = str(options.binary.resolve())
    os.environ["PEGASUS_KILLS"] = str(options.kills)
    os.environ["PEGASUS_LONG"] = "1" if options.long else ""
    seed = options.seed if options.seed is not None else int(time.time())
    os.environ["PEGASUS_SEED"] = str(seed)
    print(f"seed {seed}", flush=True)
    sys.path.insert(0, str(HERE))
    found = unittest.TestLoader().discover(str(HERE), pattern="test_*.py")
    tests = list(select(found, options.names))
    result = unittest.TextTestRunner(verbosity=2).run(unittest.TestSuite(tests))
    failed = len(result.failures) + len(result.errors)
    print(f"end to end: {result.testsRun - failed} passed, {failed} failed")
    return 1 if failed or not result.testsRun else 0


if __name__ == "__main__":
    sys.exit(main())
