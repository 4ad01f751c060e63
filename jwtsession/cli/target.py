"""`Target`: the application, or only its settings, that a command is about."""

import argparse
import contextlib
import importlib
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .._from_settings import key_specs, make_codec, make_store, names_server
from ..errors import ConfigurationError
from ..models import Claims
from ..settings import SessionSettings
from ..stores import SessionStore
from ..stores.redis.connect import Connections
from ..stores.redis.inspection import leave
from ..tokens import KeyRing, TokenCodec

if TYPE_CHECKING:  # it imports FastAPI
    from ..provider import SessionProvider


@dataclass
class Target:
    """What a command is about.

    Args:
        settings: The settings.
        given: The provider that `--app` names; None if the settings come from the environment alone.
    """

    settings: SessionSettings
    given: "SessionProvider[Any, Any] | None" = None

    @cached_property
    def store(self) -> SessionStore:
        """The store of the sessions, which is not open.

        Raises:
            ConfigurationError: The URL can't be used.
        """
        return self.given.store if self.given is not None else make_store(self.settings, None, None, time.time)

    @cached_property
    def provider(self) -> "SessionProvider[Any, Any]":
        """The provider of `--app`, or one whose sessions are free-form."""
        from ..provider import SessionProvider

        return self.given if self.given is not None else SessionProvider(settings=self.settings, store=self.store)

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator["SessionProvider[Any, Any]"]:
        """The provider, started for the length of a block that is the last of its event loop."""
        try:
            async with self.provider as provider:
                yield provider
        finally:
            await leave(self.store)

    @cached_property
    def codec(self) -> TokenCodec[Any]:
        """Verifies tokens as the application does; without an application, by the settings alone."""
        if self.given is not None:
            return self.given._lifespan.tenant.codec
        keys = KeyRing(key_specs(self.settings), self.settings.algorithm)
        return make_codec(self.settings, keys, Claims, None, time.time)


def load(arguments: argparse.Namespace, secrets: set[str]) -> Target:
    """Load what the options name.

    Args:
        arguments: The options.
        secrets: Gets all secrets of the settings.

    Raises:
        ConfigurationError: There is no such provider, or a setting can't work.
    """
    if arguments.app is not None:
        provider = _provider(arguments)
        target = Target(provider.settings, provider)
    else:
        target = Target(_settings(arguments))
    secrets |= secrets_of(target.settings)
    return target


def secrets_of(settings: SessionSettings) -> set[str]:
    """All texts of the settings that nobody may see."""
    found = [*(key.secret for key in settings.keys), *settings.encryption.keys]
    found += [each for each in (settings.secret, settings.user_index_key) if each is not None]
    texts = {each.get_secret_value() for each in found}
    passwords: list[str] = []
    if names_server(settings):
        with contextlib.suppress(ConfigurationError):  # a command that needs the URL says what is wrong with it
            passwords = Connections(settings.redis_url.get_secret_value(), None).secrets
    return texts | {*passwords} | {quote(each, safe="") for each in passwords}


@contextlib.contextmanager
def heard_warnings() -> Iterator[list[str]]:
    """Collect what the package logs as a warning or worse."""
    heard: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    logger, listener = logging.getLogger("jwtsession"), Listener(logging.WARNING)
    logger.addHandler(listener)
    try:
        yield heard
    finally:
        logger.removeHandler(listener)


def _settings(arguments: argparse.Namespace) -> SessionSettings:
    options: dict[str, Any] = {
        "_env_file": arguments.env_file,
        "_secrets_dir": arguments.secrets_dir,
        "_env_prefix": arguments.env_prefix,
    }
    if arguments.env_file is not None:
        _check_readable(arguments.env_file)
    return SessionSettings(**{name: value for name, value in options.items() if value is not None})


def _provider(arguments: argparse.Namespace) -> "SessionProvider[Any, Any]":
    for name in ("secrets_dir", "env_prefix"):
        if getattr(arguments, name) is not None:
            raise ConfigurationError(f"--{name.replace('_', '-')}: the application of --app has its own settings")
    module, colon, path = arguments.app.partition(":")
    if not colon or not module or not path:
        raise ConfigurationError("--app: must be MODULE:PROVIDER, such as shop.main:sessions")
    if arguments.env_file is not None:
        _read_variables(arguments.env_file)
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    found: Any = _imported(module)
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise ConfigurationError(f"--app: {module} has no {path}{_meant(found)}") from None
    from ..provider import SessionProvider

    if not isinstance(found, SessionProvider):
        kind = type(found).__name__
        raise ConfigurationError(f"--app: {arguments.app} is no SessionProvider, but {kind}{_meant(found)}")
    return found


def _imported(name: str) -> Any:
    """Import a module of the application."""
    try:
        return importlib.import_module(name)
    except ConfigurationError as error:
        wrong = str(error)
    except ModuleNotFoundError as error:
        wrong = f"there is no module {error.name!r}" if error.name else "a module is missing"
    except (Exception, SystemExit) as error:
        # Its message may show a secret of the application, so it tells the place only.
        last = error.__traceback__
        while last is not None and last.tb_next is not None:
            last = last.tb_next
        place = "" if last is None else f" in {Path(last.tb_frame.f_code.co_filename).name}, line {last.tb_lineno}"
        wrong = f"it raises {type(error).__name__}{place}"
    raise ConfigurationError(f"--app: can't import {name}: {wrong}")


def _meant(owner: Any) -> str:
    """The providers that the user may have meant."""
    from ..provider import SessionProvider

    names = [name for name, value in getattr(owner, "__dict__", {}).items() if isinstance(value, SessionProvider)]
    return f": did you mean {' or '.join(names)}?" if names else ""


def _check_readable(file: str) -> None:
    path, wrong = Path(file), ""
    if not path.is_file():
        raise ConfigurationError("--env-file: there is no such file")
    try:
        path.read_text(encoding="utf-8")
    except UnicodeDecodeError:  # it holds what is in the file
        wrong = "the file is no UTF-8"
    except OSError as error:
        wrong = f"the file can't be read ({error.strerror})"
    if wrong:
        raise ConfigurationError(f"--env-file: {wrong}")


def _read_variables(file: str) -> None:
    """Put the variables of a file into the environment, unless they are there: the application reads them."""
    from dotenv import dotenv_values

    _check_readable(file)
    for name, value in dotenv_values(file).items():
        if value is not None:
            os.environ.setdefault(name, value)
