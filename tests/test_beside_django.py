"""A few hundred random programs beside Django, if it is installed; tests/beside_django has many more."""

import pytest

pytest.importorskip("django", reason="pip install -e '.[django]'")

from beside_django.worlds import outcomes
from servers import Server


@pytest.mark.parametrize("seed", range(4))
def test_random_programs_beside_django(server: Server, seed: int) -> None:
    """Each program has the result that Django's has, or both raise an error; what is stored is the same after it."""
    ran = [outcome for outcome in outcomes(server.url, seed) if not outcome.beyond and not outcome.outer]
    assert len(ran) > 30
    assert [str(outcome) for outcome in ran if not outcome.agree] == []
