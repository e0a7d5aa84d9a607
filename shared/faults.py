"""Planted deaths for the fault tests: KUAIZHAO_FAULT=<point>:<n> ends the process as kill -9 does at the n-th pass."""

import os

_planned, _, _nth = os.environ.get("KUAIZHAO_FAULT", "").partition(":")
_passed = 0


def fault_point(name: str, real: bool = True) -> None:
    global _passed
    if real and name == _planned:
        _passed += 1
        if _passed == int(_nth or 1):
            os._exit(137)
