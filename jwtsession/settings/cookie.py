"""`CookieSettings`: the group `cookie`."""

import re
from typing import TYPE_CHECKING, Annotated, Literal, TypedDict, Unpack

from pydantic import AfterValidator, ValidationInfo, field_validator

from .group import SettingsGroup

SameSite = Literal["lax", "strict", "none"]

# RFC 6265 section 4.1.1: a name is a token of RFC 9110, and a path has no control characters and no semicolon.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_DOMAIN = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_PATH = re.compile(r"/[!-:<-~]{0,1023}")


def _token(value: str | None) -> str | None:
    if value is not None and not _NAME.fullmatch(value):
        raise ValueError("must be 1 to 100 letters, digits or any of !#$%&'*+-.^_`|~")
    return value


def _host(value: str | None) -> str | None:
    if value is not None and not _DOMAIN.fullmatch(value):
        raise ValueError("must be a host name in lower case with at least one dot, such as example.com")
    return value


def _absolute(value: str) -> str:
    if not _PATH.fullmatch(value):
        raise ValueError("must begin with / and have only visible ASCII characters without ;")
    return value


class CookieOptions(TypedDict, total=False):
    """The arguments of `CookieSettings`."""

    name: str | None
    secure: bool
    same_site: SameSite
    domain: str | None
    path: str
    partitioned: bool
    persistent: bool


class CookieSettings(SettingsGroup):
    """The cookie that holds the token: `SessionSettings.cookie`, if `token_sources` has `cookie`. It is `HttpOnly`.

    Raises:
        ConfigurationError: Browsers would refuse a cookie with these attributes.
    """

    secure: bool = True
    """Whether browsers send the cookie over HTTPS only. Safari does so on http://localhost too: set `False` for
    development there. `False` is logged as a warning at the start."""

    same_site: SameSite = "lax"
    """Whether browsers send the cookie with requests that another site makes. `lax`: only if the user follows a link.
    `strict`: never, so that a link in an e-mail opens the page without a session. `none`: always; needs `secure`."""

    domain: Annotated[str | None, AfterValidator(_host)] = None
    """The domain whose hosts all get the cookie; `None` for the host that set it. With a domain, each of its hosts can
    also replace the cookie, which is logged as a warning at the start."""

    path: Annotated[str, AfterValidator(_absolute)] = "/"
    """The path below which browsers send the cookie."""

    partitioned: bool = False
    """Whether the cookie belongs to the site in which this one is embedded (CHIPS). Needs `same_site="none"`."""

    persistent: bool = True
    """Whether the cookie outlives the browser's session ("remember me"); `create(persistent=...)` decides for one
    login. `Max-Age` is the time to the token's `exp`, at most 400 days."""

    name: Annotated[str | None, AfterValidator(_token)] = None
    """The cookie's name. `None` takes the safest name that its attributes permit: `__Host-Http-session`,
    `__Secure-session` with a `domain` or another `path`, and `session` if it is not `secure`. The part after the prefix
    is `request_key`. Browsers refuse a cookie with such a prefix if somebody else sets it for this site (RFC 6265bis
    section 4.1.3)."""

    if TYPE_CHECKING:

        def __init__(self, **values: Unpack[CookieOptions]) -> None: ...

    def name_for(self, request_key: str) -> str:
        """Return the cookie's name for a provider with this `request_key`."""
        if self.name is not None:
            return self.name
        if not self.secure:
            return request_key
        return f"__Host-Http-{request_key}" if self.domain is None and self.path == "/" else f"__Secure-{request_key}"

    def weaknesses(self) -> list[str]:
        """What these attributes give up, as sentences for the log at the start."""
        found = []
        if not self.secure:
            found.append("cookie.secure=False: the token also travels over plain HTTP: for development only")
        if self.domain is not None:
            found.append(f"cookie.domain={self.domain!r}: every host of this domain gets the token, and can replace it")
        return found

    @field_validator("same_site")
    @classmethod
    def _none_needs_secure(cls, value: SameSite, info: ValidationInfo) -> SameSite:
        if value == "none" and not info.data.get("secure", True):
            raise ValueError("browsers refuse none unless cookie.secure is true")
        return value

    @field_validator("partitioned")
    @classmethod
    def _needs_none(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("same_site", "none") != "none":
            raise ValueError('needs cookie.same_site="none"')
        return value

    @field_validator("name")
    @classmethod
    def _prefix_fits(cls, value: str | None, info: ValidationInfo) -> str | None:
        prefix = re.match("__(secure|host|http)-", value or "", re.IGNORECASE)
        if prefix and not info.data.get("secure", True):
            raise ValueError("browsers refuse this prefix unless cookie.secure is true")
        if prefix and prefix[1].lower() == "host" and (info.data.get("domain") or info.data.get("path", "/") != "/"):
            raise ValueError(
                "browsers refuse the prefix __Host- with cookie.domain, or with another cookie.path than /"
            )
        return value
