"""`DPoPSettings`: the group `dpop`."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack, get_args

from pydantic import Field, ValidationInfo, field_validator

from .durations import Seconds
from .group import SettingsGroup

DPoPMode = Literal["off", "optional", "required"]
PublicKeyAlgorithm = Literal[
    "ES256", "ES384", "ES512", "EdDSA", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"
]  # fmt: skip


class DPoPOptions(TypedDict, total=False):
    """The arguments of `DPoPSettings`."""

    mode: DPoPMode
    algorithms: Sequence[PublicKeyAlgorithm]
    max_age: int | timedelta
    leeway: int | timedelta
    nonce: bool
    replay: bool


class DPoPSettings(SettingsGroup):
    """Proof of possession (DPoP, RFC 9449): `SessionSettings.dpop`. A bound token is worth nothing without its key.

    Raises:
        ConfigurationError: A setting can't work.
    """

    mode: DPoPMode = "off"
    """`optional` binds the token of a login to the key of its proof, if the client sends a proof. `required` refuses
    logins without a proof and tokens that are not bound. `off` looks at no proof, and refuses bound tokens. The other
    modes need `public_url` and the extra `crypto`. Every worker needs one of them before the first client sends a
    proof."""

    algorithms: tuple[PublicKeyAlgorithm, ...] = Field(default=("ES256", "EdDSA"), examples=[["ES256"]])
    """The signature algorithms that a proof may have. All are asymmetric (RFC 9449 section 4.2)."""

    max_age: Seconds = Field(default=60, ge=1, le=600)
    """How many seconds after its `iat` a proof is accepted (RFC 9449 section 11.1)."""

    leeway: Seconds = Field(default=5, ge=0, le=60)
    """By how many seconds the `iat` of a proof may lie in the future: the clocks of clients differ."""

    nonce: bool = False
    """Whether a proof must have a nonce of this service, so that nobody can make proofs in advance (RFC 9449
    section 9)."""

    replay: bool = True
    """Whether the store remembers the proofs that were used, so that each can be used once (RFC 9449 section 11.1)."""

    if TYPE_CHECKING:

        def __init__(self, **values: Unpack[DPoPOptions]) -> None: ...

    @field_validator("algorithms")
    @classmethod
    def _each_once(cls, value: tuple[PublicKeyAlgorithm, ...]) -> tuple[PublicKeyAlgorithm, ...]:
        if not value or len(set(value)) != len(value):
            raise ValueError(f"must name one or more of {', '.join(get_args(PublicKeyAlgorithm))}, each once")
        return value

    @field_validator("algorithms", "max_age", "leeway", "nonce", "replay")  # runs only for values that were given
    @classmethod
    def _needs_mode(cls, value: object, info: ValidationInfo) -> object:
        if info.data.get("mode") == "off":
            raise ValueError('needs dpop.mode "optional" or "required"')
        return value
