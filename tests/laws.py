"""How many examples of a law are drawn: few in each run, many in `make test-all`."""

from hypothesis import settings

THOROUGH = 4
"""How many times as many the profile "thorough" draws; `--hypothesis-profile=thorough` chooses it."""


def examples(count: int) -> int:
    """So many examples of a law whose examples take more than a few milliseconds each.

        @settings(max_examples=examples(15), deadline=None)

    Under the profile "thorough" it is THOROUGH times as many.
    """
    return count * settings.default.max_examples // 100
