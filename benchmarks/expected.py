"""The counts of instructions that are expected, for what they hold, and how far others are from them."""

import hashlib
import json
import platform
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

TOLERANCE = 0.02
"""The share by which a count may differ, in either direction."""

PACKAGES = (
    "anyio", "cryptography", "fastapi", "hiredis", "opentelemetry-api", "pydantic", "pydantic-core", "PyJWT", "redis",
    "starlette",
)  # fmt: skip
"""Those whose code a request runs."""

Counts = Mapping[str, Mapping[str, int]]
"""For each case and each number of requests in flight, the instructions of a request."""


@dataclass(frozen=True)
class Expected:
    """What `benchmarks/instructions.json` says.

    Attributes:
        holds_for: The Python, the architecture and the packages that the counts hold for.
        counts: The counts.
    """

    holds_for: Mapping[str, str]
    counts: Counts

    @classmethod
    def read(cls, path: Path) -> "Expected":
        """Read the file; where there is none, nothing is expected."""
        return cls(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else cls({}, {})

    def write(self, path: Path) -> None:
        """Write the file."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    def of(self, case: str, in_flight: str) -> int | None:
        """The count of a case; None if the file has none."""
        return self.counts.get(case, {}).get(in_flight)

    def not_comparable(self, here: Mapping[str, str]) -> list[str]:
        """Why counts of another place can't be compared with these; empty if they can."""
        names = sorted(self.holds_for.keys() | here.keys())
        return [
            f"{name} is {here.get(name, 'missing')} here, and {self.holds_for.get(name, 'missing')} in the file"
            for name in names
            if here.get(name) != self.holds_for.get(name)
        ]

    def off(self, found: Counts) -> Iterator[str]:
        """What says otherwise: each count that differs by more than `TOLERANCE`, is missing, or was not counted."""
        for case in dict.fromkeys([*self.counts, *found]):
            for in_flight in dict.fromkeys([*self.counts.get(case, {}), *found.get(case, {})]):
                name = f"{case}, {in_flight} in flight"
                expected, now = self.of(case, in_flight), found.get(case, {}).get(in_flight)
                if now is None:
                    yield f"{name}: not counted"
                elif expected is None:
                    yield f"{name}: {now:,}, and the file expects nothing"
                elif abs(now - expected) > TOLERANCE * expected:
                    more = "more" if now > expected else "less"
                    yield f"{name}: {now:,}, which is {abs(now / expected - 1):.1%} {more} than {expected:,}"


def here() -> dict[str, str]:
    """What counts that are made here hold for."""
    options = hashlib.sha256(str(sysconfig.get_config_var("CONFIG_ARGS")).encode()).hexdigest()[:8]
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return {
        "python": f"{python}, {platform.python_compiler()}, built with {options}",
        "architecture": platform.machine(),
        "libc": " ".join(platform.libc_ver()),
    } | {name: version(name) for name in PACKAGES}
