"""Metrics and spans by the API of OpenTelemetry. Where that is not installed, no part of a provider has a hook."""

import inspect
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .counters import Series as Series
    from .instruments import Telemetry as Telemetry
    from .operations import Operations as Operations
    from .resolutions import Resolutions as Resolutions


def shared_telemetry() -> "Telemetry | None":
    """Return what all providers of this process count by.

    Returns:
        None without `opentelemetry-api`, or with one that is older than the extra `otel` asks for. It is not imported
        before this call.
    """
    try:
        from opentelemetry.metrics import Meter
    except ImportError:
        return None
    if "explicit_bucket_boundaries_advisory" not in inspect.signature(Meter.create_histogram).parameters:
        return None
    from .instruments import shared

    return shared()
