"""Writes the HTML of the page "Your sessions". Everything that comes from a client or a user is escaped."""

import base64
import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime
from html import escape

from ._page_style import STYLE
from .views import SessionView

SHOWN = 100
"""The page shows at most so many other sessions."""

POLICY = "; ".join(
    [
        "default-src 'none'",
        f"style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ]
)
"""The page's `Content-Security-Policy`: no script, no image, nothing from elsewhere, and only this style."""

MESSAGES = {
    "ended": "The session has ended.",
    "others-ended": "All other sessions have ended.",
    "named": "The name is saved.",
}
"""What the page says after a form was sent, by the parameter `done` of its URL."""

_DRAWINGS = {
    "phone": '<rect x="7" y="2.75" width="10" height="18.5" rx="2.25"/><path d="M11 18.25h2"/>',
    "tablet": '<rect x="4.75" y="2.75" width="14.5" height="18.5" rx="2.25"/><path d="M10.75 18.25h2.5"/>',
    "desktop": '<rect x="2.75" y="4" width="18.5" height="12.5" rx="1.75"/><path d="M8.5 20h7M12 16.5V20"/>',
    "other": '<rect x="2.75" y="4" width="18.5" height="16" rx="2"/><path d="m6.75 9 3 3-3 3M12.5 15h4"/>',
}


def sessions_page(
    views: Sequence[SessionView],
    *,
    more: str | None,
    now: float,
    endpoints: Collection[str],
    acting: bool,
    message: str | None,
) -> str:
    """The page of a user's sessions.

    Args:
        views: The sessions to show.
        more: How many others the user has beside them, as a text; None for none.
        now: The time in seconds since the epoch.
        endpoints: What the page offers, by the names of `SessionEndpoint`.
        acting: Whether somebody acts for the user, and so may only look.
        message: What has just happened.
    """
    offers = {"log_out"}.intersection(endpoints) if acting else endpoints
    here = [each for each in views if each.current]
    others = [each for each in views if not each.current]
    parts = [
        "<h1>Your sessions</h1>",
        '<p class="lead">These devices are signed in to your account. If you do not know one of them, end its session '
        "and change your password.</p>",
    ]
    if message:
        parts.append(f'<p class="note" role="status">{escape(message)}</p>')
    if acting:
        parts.append('<p class="note">You act for this user. While you do, you can end no other session.</p>')
    parts.append('<section aria-labelledby="here"><h2 id="here">This device</h2>')
    if here:
        parts.append(_list(here, now, offers))
    else:
        parts.append(f'<div class="panel"><p class="none">You are not signed in.</p>{_log_out(offers)}</div>')
    parts.append('</section><section aria-labelledby="others"><h2 id="others">Other devices</h2>')
    if others:
        parts.append(_list(others, now, offers))
        parts.append(_end_all(more, offers))
    else:
        parts.append('<div class="panel"><p class="none">You are not signed in anywhere else.</p></div>')
    parts.append("</section>")
    return document("Your sessions" if not message else f"{message} Your sessions", "".join(parts))


def document(title: str, body: str) -> str:
    """A whole page.

    Args:
        title: Its title, as text.
        body: What stands in its `main`, as HTML.
    """
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="robots" content="noindex">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>"
    )


def notice(title: str, text: str, links: Sequence[tuple[str, str]]) -> str:
    """A page that says one thing.

    Args:
        title: The heading.
        text: What there is to say.
        links: Where to go from here: URL and text.
    """
    ways = "".join(f'<a class="button" href="{escape(url)}">{escape(name)}</a>' for url, name in links)
    nav = f'<nav class="next" aria-label="Where to go from here">{ways}</nav>' if ways else ""
    return document(title, f'<h1>{escape(title)}</h1><p class="lead">{escape(text)}</p>{nav}')


def _list(views: Sequence[SessionView], now: float, offers: Collection[str]) -> str:
    return f'<ul class="panel">{"".join(_item(each, now, offers) for each in views)}</ul>'


def _item(view: SessionView, now: float, offers: Collection[str]) -> str:
    seen = _described(view)
    title = view.label or seen
    about = [seen if view.label else None, None if view.device and view.device in seen else view.device]
    active = "<b>Active now</b>" if view.current else f"Last active {_time(view.last_seen, now)}"
    return (
        f'<li class="session{" here" if view.current else ""}"{_CURRENT if view.current else ""}>'
        f'<span class="icon">{_drawing(view)}</span><h3>{escape(title)}</h3>'
        + (_log_out(offers) if view.current else _end(view, title, offers))
        + _facts([escape(each) for each in (*about, view.location, view.client) if each])
        + _facts([active, f"Signed in {_time(view.created, now)}"], f' id="m{view.handle}"')
        + ('<p class="tag">Somebody acts for you in it</p>' if view.impersonated and not view.current else "")
        + (_rename(view, title) if "label" in offers else "")
        + "</li>"
    )


def _facts(facts: Sequence[str], attributes: str = "") -> str:
    return f'<p class="meta"{attributes}>{"".join(f"<span>{each}</span>" for each in facts)}</p>' if facts else ""


_CURRENT = ' aria-current="true"'


def _log_out(offers: Collection[str]) -> str:
    if "log_out" not in offers:
        return ""
    return '<form class="end" method="post" action="devices/log-out"><button>Log out</button></form>'


def _end(view: SessionView, title: str, offers: Collection[str]) -> str:
    if "end" not in offers:
        return ""
    return (
        f'<form class="end" method="post" action="devices/end">{_handle(view)}'
        f'<button aria-describedby="m{view.handle}">End'
        f'<span class="unseen"> session: {escape(title)}</span></button></form>'
    )


def _rename(view: SessionView, title: str) -> str:
    return (
        f'<details><summary>Rename<span class="unseen"> {escape(title)}</span></summary>'
        f'<form class="name" method="post" action="devices/rename">{_handle(view)}'
        f'<label>Your name for it<input name="label" maxlength="64" autocomplete="off" '
        f'value="{escape(view.label or "")}"></label><button>Save</button></form></details>'
    )


def _end_all(more: str | None, offers: Collection[str]) -> str:
    left_out = f"<p>{more} more are not shown.</p>" if more else ""
    if "end_others" not in offers:
        return f'<div class="all">{left_out}</div>' if left_out else ""
    return (
        '<form class="all" method="post" action="devices/end-others">'
        f'<button class="danger">End all other sessions</button>{left_out}</form>'
    )


def _handle(view: SessionView) -> str:
    return f'<input type="hidden" name="handle" value="{escape(view.handle)}">'


def _kind(view: SessionView) -> str:
    if view.os in ("iOS", "iPadOS", "Android"):
        device = (view.device or "").lower()
        return "tablet" if "ipad" in device or "tab" in device else "phone"
    return "desktop" if view.os else "other"


def _drawing(view: SessionView) -> str:
    return (
        '<svg aria-hidden="true" width="24" height="24" viewBox="0 0 24 24" fill="none" stroke="currentColor" '
        f'stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round">{_DRAWINGS[_kind(view)]}</svg>'
    )


def _described(view: SessionView) -> str:
    """The session in a few words: "Firefox on Windows", "Safari on iPhone"."""
    on = view.device or view.os
    if view.browser and on:
        return f"{view.browser} on {on}"
    return view.browser or on or "Unknown device"


def _time(moment: datetime, now: float) -> str:
    return f'<time datetime="{moment.isoformat().replace("+00:00", "Z")}">{_ago(moment, now)}</time>'


def _ago(moment: datetime, now: float) -> str:
    """A time as people say it. The page does not know the user's time zone, so an old one is a date alone."""
    seconds = now - moment.timestamp()
    if seconds < 120:
        return "just now"
    if seconds >= 14 * 86_400:
        return f"on {moment.day} {_MONTHS[moment.month - 1]} {moment.year}"
    size, name = next(each for each in _UNITS if seconds >= each[0])
    count = int(seconds // size)
    return f"{count} {name}{'s' if count > 1 else ''} ago"


_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"))
# Not by `strftime`, which speaks the language of the server.
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
           "December")  # fmt: skip
