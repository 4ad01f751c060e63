"""Settings of a provider whose secret is not there when its module is imported: in tests, and for an OpenAPI export."""

import secrets

from .._tracebacks import scrub_traceback
from ..errors import ConfigurationError
from ._requirements import MissingSecretError
from .options import SettingsOptions
from .session_settings import SessionSettings


@scrub_traceback
def settings_or_missing(options: SettingsOptions) -> tuple[SessionSettings, ConfigurationError | None]:
    """Make the settings, also if nothing but the secret is missing.

    Args:
        options: As `SessionSettings` takes them.

    Returns:
        The settings, and None; or settings whose secret nobody may use, and the error to raise at the start.

    Raises:
        ConfigurationError: A setting can't work.
    """
    try:
        return SessionSettings(**options), None
    except MissingSecretError as error:
        missing = str(error)
    # A new error: the traceback of the other one refers to the options.
    placeholder: SettingsOptions = {"secret": secrets.token_urlsafe(64)}
    return SessionSettings(**(options | placeholder)), ConfigurationError(missing)
