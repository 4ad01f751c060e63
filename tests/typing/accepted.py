"""What type checkers infer; `test_typing.py` runs them on this file. Nothing here is executed."""

from datetime import timedelta
from typing import Annotated, assert_type

from fastapi import Depends
from pydantic import SecretStr

from jwtsession import (
    Claims,
    EncryptionSettings,
    Key,
    Session,
    SessionManager,
    SessionProvider,
    SessionSettings,
    SessionVerifier,
    SyncSessionManager,
    Ticket,
    Token,
)
from jwtsession.testing import AsyncSessionTester, InspectableStore, Login, SessionTester
from jwtsession.web.claims import ClaimsDependency
from jwtsession.web.dependency import SessionDependency


class UserSession(Session):
    user_id: int
    cart: list[str] = []


class UserClaims(Claims):
    role: str = "user"


sessions = SessionProvider(UserSession, UserClaims, secret="...")
assert_type(sessions, SessionProvider[UserSession, UserClaims])
assert_type(SessionProvider(UserSession), SessionProvider[UserSession, Claims])
assert_type(SessionProvider(), SessionProvider[Session, Claims])
assert_type(SessionProvider(claims_model=UserClaims), SessionProvider[Session, UserClaims])
assert_type(sessions.get_editable_session, SessionDependency[UserSession])
assert_type(SessionProvider().get_editable_session, SessionDependency[Session])
unnamed: SessionProvider = SessionProvider()

verifier = SessionVerifier(UserClaims, jwks_url="...", issuer="...", audience=None, algorithm="ES256")
assert_type(verifier, SessionVerifier[UserClaims])
assert_type(verifier.get_claims, ClaimsDependency[UserClaims])
assert_type(SessionVerifier(jwks_url="...", issuer="...", audience=None, algorithm="ES256"), SessionVerifier[Claims])
assert_type(unnamed, SessionProvider[Session, Claims])
unnamed_claims: SessionProvider[UserSession] = SessionProvider(UserSession)


SessionProvider(
    UserSession,
    secret="...",
    keys=[Key(kid="1", secret="..."), {"kid": "2", "secret": "..."}],
    redis_url="redis://localhost",
    max_age=timedelta(hours=1),
    absolute_max_age=None,
    algorithm="ES256",
    token_sources=["bearer", "query"],
    _env_file=".env",
    encryption={"keys": ["..."], "mode": "read"},
    websocket={"sources": ["bearer", "protocol"]},
)
SessionProvider(encryption=EncryptionSettings(keys=["...", SecretStr("...")], mode="write"))
SessionSettings(maxAge=60, requestKey="user", requestArg="token", leeway=timedelta(seconds=5), _env_prefix="ADMIN_")
assert_type(SessionSettings.node_compatible(secret=SecretStr("..."), touch_interval=0), SessionSettings)


async def with_manager(manager: SessionManager[UserSession, UserClaims]) -> None:
    assert_type(manager.session, UserSession | None)
    assert_type(manager.claims, UserClaims | None)
    assert_type(manager.id, str | None)
    assert_type(manager.token, str | None)
    assert_type(await manager.create(UserSession(user_id=1), UserClaims(role="admin")), Token)
    assert_type(await manager.create(UserSession(user_id=1), max_age=timedelta(days=30)), Token)
    assert_type(manager.created, float | None)
    assert_type(await manager.update(), UserSession)
    assert_type(await manager.reload(), UserSession)
    assert_type(await manager.regenerate(), Token)
    assert_type(await manager.ticket(), Ticket)
    assert_type(manager.sync.ticket(), Ticket)
    assert_type(await manager.mutate(lambda session: session.cart.append("tea")), UserSession)
    assert_type(manager.sync, SyncSessionManager[UserSession, UserClaims])
    assert_type(manager.sync.update(), UserSession)

    async def change(session: UserSession) -> UserSession:
        return session

    assert_type(await manager.mutate(change), UserSession)


async def without_claims(manager: SessionManager[UserSession]) -> None:
    assert_type(manager, SessionManager[UserSession, Claims])
    assert_type(manager.session, UserSession | None)
    assert_type(manager.claims, Claims | None)
    assert_type(manager.sync, SyncSessionManager[UserSession])


async def off_request() -> None:
    assert_type(await sessions.get("id"), UserSession | None)
    assert_type(await sessions.revoke("id"), bool)
    assert_type(await sessions.revoke_all("ann"), int)
    assert_type(await sessions.ping(), bool)
    manager = await sessions.authenticate({"anything": "at all"}.get("token"))
    assert_type(manager, SessionManager[UserSession, UserClaims])


def as_user(sub: str) -> UserSession | None:
    return UserSession(user_id=int(sub))


async def as_user_with_claims(sub: str) -> tuple[UserSession, UserClaims]:
    return UserSession(user_id=int(sub)), UserClaims(role="admin")


async def locate(address: str) -> str | None:
    return address


sessions.router("/account", include={"read", "list"}, fresh=timedelta(minutes=5), pages=True, login="/login")
sessions.router(include=["end"], fresh=300, locate=locate, tags=["account"])
sessions.router(locate={"192.0.2.7": "Lisbon"}.get)
sessions.admin_router(Depends(as_user), "/admin", impersonate=as_user)
sessions.admin_router(as_user, impersonate=as_user_with_claims, locate=locate)


async def endpoint(
    session: Annotated[UserSession, Depends(sessions.get_session)],
    by_class: Annotated[UserSession, Depends()],
    optional: Annotated[UserSession | None, Depends(sessions.get_optional_session)],
) -> None:
    assert_type(session.user_id, int)
    assert_type(by_class.cart, list[str])
    assert_type(optional, UserSession | None)


def blocking_test() -> None:
    tester = SessionTester(sessions)
    assert_type(tester, SessionTester[UserSession, UserClaims])
    assert_type(SessionTester(SessionProvider()), SessionTester[Session, Claims])
    with tester as entered:
        assert_type(entered, SessionTester[UserSession, UserClaims])
    login = tester.login(UserSession(user_id=1), UserClaims(role="admin"), age=timedelta(hours=2))
    assert_type(login, Login[UserSession, UserClaims])
    assert_type(login.session, UserSession)
    assert_type(login.claims, UserClaims)
    assert_type(tester.reload(login), UserSession)
    assert_type(tester.revoke(login), bool)
    assert_type(tester.store, InspectableStore)


async def asynchronous_test() -> None:
    async with AsyncSessionTester(sessions) as tester:
        assert_type(tester, AsyncSessionTester[UserSession, UserClaims])
        login = await tester.login({"user_id": 1}, auth_time=1_700_000_000)
        assert_type(login, Login[UserSession, UserClaims])
        assert_type(await tester.reload(login), UserSession)
        assert_type(await tester.manager(login.token), SessionManager[UserSession, UserClaims])
