"""What one setting needs of another. The checks raise a `ValueError` that names the setting."""

import gc
import logging
import platform
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ..errors import ConfigurationError
from ._weak_secrets import MAKE_ONE, MIN_SECRET_BYTES, check_secret

if TYPE_CHECKING:  # it imports this module
    from .session_settings import SessionSettings

logger = logging.getLogger("jwtsession")


class MissingSecretError(ConfigurationError):
    """There is no secret, there are no keys, and nothing else is wrong."""


class SeveralSettingsError(ConfigurationError):
    """Several settings don't go together with others.

    Args:
        errors: What is wrong with each.
    """

    def __init__(self, errors: Sequence[ValueError]) -> None:
        super().__init__("; ".join(map(str, errors)))
        self.errors = errors


def kind_of(error: ValidationError) -> type[ConfigurationError]:
    """The class of the error that says what is wrong with the settings."""
    wrong = error.errors(include_url=False, include_input=False)
    lacks_keys = len(wrong) == 1 and isinstance(wrong[0].get("ctx", {}).get("error"), MissingSecretError)
    return MissingSecretError if lacks_keys else ConfigurationError


def check(settings: "SessionSettings") -> None:
    """Refuse settings that don't go together.

    Raises:
        ValueError: One setting is wrong, or several are: `SeveralSettingsError`.
    """
    wrong = [*_dependencies(settings), *_keys(settings)]
    if len(wrong) > 1:
        raise SeveralSettingsError(wrong)
    for error in wrong:
        raise error


def _dependencies(settings: "SessionSettings") -> Iterator[ValueError]:
    """What has no effect without another setting, or contradicts another."""
    given = settings.model_fields_set
    if settings.max_age_limit is not None and settings.max_age_limit < settings.max_age:
        yield ValueError("max_age_limit: must not be less than max_age")
    for name in ("user_index_key", "capture_client", "max_sessions"):
        if getattr(settings, name) and not settings.user_index:
            yield ValueError(f"{name}: needs user_index=True")
    if "too_many_sessions" in given and settings.max_sessions is None:
        yield ValueError("too_many_sessions: needs max_sessions")
    if settings.on_reuse == "end_all" and not settings.user_index:
        yield ValueError('on_reuse: "end_all" needs user_index=True')
    for name in ("cookie", "csrf", "trusted_origins", "csrf_same_site"):
        if name in given and "cookie" not in settings.token_sources:
            yield ValueError(f'{name}: needs "cookie" in token_sources')
    for source in settings.websocket.sources if "sources" in settings.websocket.model_fields_set else ():
        if source not in ("protocol", *settings.token_sources):
            yield ValueError(f'websocket.sources: "{source}" needs "{source}" in token_sources')
    if settings.is_in_memory and settings.near_cache_bytes:
        yield ValueError("near_cache_bytes: needs a server: with memory:// the sessions are in the worker's memory")
    if settings.gc_freeze and not hasattr(gc, "freeze"):
        yield ValueError(f"gc_freeze: {platform.python_implementation()} has no gc.freeze()")
    if settings.rotation.after is not None and settings.near_cache_bytes:
        yield ValueError("near_cache_bytes: rotation asks the server at each request, so nothing is read from memory")
    if settings.dpop.mode != "off":
        if settings.public_url is None:
            yield ValueError("public_url: dpop needs it: a proof is for one URL, and the header Host can be forged")
        if "bearer" not in settings.token_sources:
            yield ValueError('dpop.mode: needs "bearer" in token_sources: a bound token comes in Authorization')
        if settings.dpop.mode == "required" and "cookie" in settings.token_sources:
            yield ValueError(
                'dpop.mode: "required" refuses every token in a cookie: take "cookie" out of token_sources'
            )


def _keys(settings: "SessionSettings") -> Iterator[ValueError]:
    """Missing keys, and secrets that somebody could guess."""
    if settings.secret is None and not settings.keys:
        remedy = f": {MAKE_ONE}" if settings.algorithm in MIN_SECRET_BYTES else ""
        yield MissingSecretError(f"secret: is required: give it as an argument or as JWTSESSION_SECRET{remedy}")
    # A longer name may be a secret that changed places with it.
    names = [f": {key.kid!r}" if len(key.kid) < 32 else f".{place}" for place, key in enumerate(settings.keys)]
    given = {f"keys{name}": key.secret for name, key in zip(names, settings.keys, strict=True)}
    if settings.secret is not None:
        given["secret"] = settings.secret
    sizes = dict.fromkeys(given, MIN_SECRET_BYTES.get(settings.algorithm, 0))
    if settings.user_index_key is not None:
        given["user_index_key"], sizes["user_index_key"] = settings.user_index_key, 32
    for name, key in given.items():
        if sizes[name]:
            algorithm = "an HMAC" if name == "user_index_key" else settings.algorithm
            try:
                check_secret(name, key.get_secret_value(), sizes[name], algorithm)
            except ValueError as error:
                yield error


def warn_of_what_never_counts(settings: "SessionSettings") -> None:
    """Log a warning for each time that another timeout makes useless."""
    for name in ("max_age", "max_age_limit"):
        value: int | None = getattr(settings, name)
        if name in settings.model_fields_set and value and value > (settings.absolute_max_age or value):
            logger.warning(
                "%s=%d has no effect: absolute_max_age=%d ends sessions earlier", name, value, settings.absolute_max_age
            )
    after = settings.rotation.after or 0
    if settings.rotation.mode == "silent" and after >= (settings.absolute_max_age or after + 1):
        logger.warning(
            "rotation.after=%d replaces no token: absolute_max_age=%d ends sessions earlier",
            after,
            settings.absolute_max_age,
        )
