"""What type checkers must refuse: each marked line is an error; `test_typing.py` runs them on this file."""

from jwtsession import (
    Claims,
    EncryptionSettings,
    Key,
    Session,
    SessionManager,
    SessionProvider,
    SessionSettings,
    SessionVerifier,
)


class UserSession(Session):
    user_id: int


class OtherSession(Session):
    name: str


class UserClaims(Claims):
    role: str = "user"


SessionProvider(int)  # refused
SessionProvider(UserSession, max_agee=5)  # refused
SessionProvider(UserSession, max_age="5")  # refused
SessionProvider(UserSession, algorithm="none")  # refused
SessionVerifier(jwks_url="...", issuer="...", audience="...", algorithm="HS256")  # refused
SessionVerifier(jwks_url="...", audience="...", algorithm="ES256")  # refused
SessionSettings(touch_intervall=5)  # refused
SessionSettings(token_sources=("cookies",))  # refused
SessionSettings(maxage=5)  # refused
SessionSettings.node_compatible(secrets="...")  # refused
Key(kid="1", secrets="...")  # refused
Key(secret="...")  # refused
EncryptionSettings(mode="on")  # refused
EncryptionSettings(kyes=["..."])  # refused
SessionProvider(encryption={"mode": "on"})  # refused
SessionProvider(encryption_mode="read")  # refused
SessionProvider(UserClaims)  # refused
SessionProvider(UserSession, UserSession)  # refused

sessions = SessionProvider(UserSession, UserClaims)
sessions.router(include={"lst"})  # refused
sessions.router(include={"read", 7})  # refused
sessions.router(locate=lambda: "here")  # refused
sessions.admin_router()  # refused


async def with_manager(manager: SessionManager[UserSession, UserClaims]) -> None:
    await manager.create(OtherSession(name="x"))  # refused
    await manager.create(UserSession(user_id=1), Claims())  # refused
    await manager.create(UserSession(user_id=1), max_age="5")  # refused
    await manager.update(OtherSession(name="x"))  # refused
    await manager.mutate(lambda session: session.nothing)  # refused
    assert manager.session.user_id  # refused
    manager.sync.create(OtherSession(name="x"))  # refused
