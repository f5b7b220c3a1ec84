"""The same test for sync and async code."""

from typing import Any

import pytest

MODES = pytest.mark.parametrize("mode", ["sync", "async"])


async def do(mode: str, owner: Any, method: str, *arguments: Any, **options: Any) -> Any:
    """Calls a method, or its async twin."""
    if mode == "async":
        return await getattr(owner, f"a{method}")(*arguments, **options)
    return getattr(owner, method)(*arguments, **options)
