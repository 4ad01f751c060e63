"""The same shop on FastAPI and jwtsession. Django keeps the accounts, and reads its own sessions for the last time."""

from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any, TypeVar

from django.contrib.auth import authenticate, get_user
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.backends.cache import SessionStore  # of your SESSION_ENGINE
from django.db import close_old_connections
from django.http import HttpRequest
from fastapi import Depends, FastAPI, Form, HTTPException, Request
from fastapi.concurrency import run_in_threadpool

from jwtsession import Claims, Session, SessionManager, SessionProvider

from . import before as before  # sets Django up; yours: DJANGO_SETTINGS_MODULE and django.setup()

T = TypeVar("T")


class UserSession(Session):
    user_id: int
    cart: list[str] = []


sessions = SessionProvider(UserSession, token_sources=["cookie"], max_age=14 * 86_400)
app = FastAPI(lifespan=sessions.lifespan)
Manager = Annotated[SessionManager[UserSession], Depends(sessions.get_manager)]


async def in_django(work: Callable[..., T], *args: Any) -> T:
    """Django blocks, so it runs in a thread; its connections to the database are closed as after a request."""

    def run() -> T:
        try:
            return work(*args)
        finally:
            close_old_connections()

    return await run_in_threadpool(run)


def check_password(name: str, password: str) -> AbstractBaseUser | None:
    return authenticate(None, username=name, password=password)


def read_old(key: str) -> UserSession | None:
    """What a Django session holds, if its user is logged in, is active, and has the same password still."""
    request = HttpRequest()
    request.session = SessionStore(key)
    user = get_user(request)
    if not user.is_authenticated:
        return None
    return UserSession(user_id=user.pk, cart=request.session.get("cart", []))


def end_old(key: str, seconds: int) -> None:
    """Let a Django session end after these seconds, if it does not end before."""
    session = SessionStore(key)
    if seconds == 0:
        session.delete()
    elif session.exists(key) and session.get_expiry_age() > seconds:
        session.set_expiry(seconds)
        with suppress(UpdateError):  # it has ended meanwhile
            session.save()


async def take_over(request: Request, manager: SessionManager[UserSession]) -> None:
    """Make a session out of Django's. Remove this when the last one of them has ended."""
    key = request.cookies.get("sessionid", "")
    old = await in_django(read_old, key) if key else None
    if old is None:
        return
    await manager.create(
        old,
        Claims(sub=str(old.user_id), auth_time=0),  # nobody knows when: require_fresh() asks for a login
        allow_cross_site=request.method == "GET",  # a link in a mail; a form of another site is a 403 here
    )
    # Requests that the browser sent at the same time may still have Django's cookie alone.
    await in_django(end_old, key, 10)


async def get_current_session(request: Request, manager: Manager) -> UserSession:
    if manager.session is None:
        await take_over(request, manager)
    if manager.session is None:
        raise HTTPException(401, "Not authenticated")
    return manager.session


CurrentSession = Annotated[UserSession, Depends(get_current_session)]  # later: Depends(sessions.get_session)


@app.post("/login", status_code=204)
async def log_in(
    name: Annotated[str, Form()], password: Annotated[str, Form()], request: Request, manager: Manager
) -> None:
    user = await in_django(check_password, name, password)
    if user is None:
        raise HTTPException(401, "Wrong name or password")
    await in_django(end_old, request.cookies.get("sessionid", ""), 0)
    await manager.create(UserSession(user_id=user.pk), Claims(sub=str(user.pk)))


@app.get("/cart")
async def read_cart(session: CurrentSession) -> UserSession:
    return session


@app.post("/cart")
async def add(item: Annotated[str, Form()], session: CurrentSession, manager: Manager) -> UserSession:
    session.cart.append(item)
    return await manager.update()


@app.post("/logout", status_code=204)
async def log_out(session: CurrentSession, request: Request, manager: Manager) -> None:
    await in_django(end_old, request.cookies.get("sessionid", ""), 0)
    await manager.destroy()
