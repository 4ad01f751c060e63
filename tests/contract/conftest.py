"""What all tests of the contract share."""

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the near cache where the contract is that of generations: it reads from memory, which has none."""
    apart = [each for each in items if "test_generations.py" in each.nodeid and "[near-" in each.nodeid]
    if apart:
        items[:] = [each for each in items if each not in apart]
        config.hook.pytest_deselected(items=apart)


@pytest.fixture(autouse=True)
def _patient(patient: None) -> None:
    """The contract is no matter of time: a busy machine breaks none of it."""
