"""A store that tells how often it was asked."""

from typing import Any

from jwtsession.testing import InspectableStore


class CountingStore(InspectableStore):
    """Counts how often it is asked for a session."""

    loads = 0

    async def load(self, *args: Any, **options: Any) -> Any:
        self.loads += 1
        return await super().load(*args, **options)
