"""The users and their manager, before and after: fastapi-users' own. Yours have a database."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from fastapi_users import BaseUserManager, IntegerIDMixin, schemas
from fastapi_users.db import BaseUserDatabase


@dataclass
class User:
    id: int
    email: str
    hashed_password: str
    is_active: bool = True
    is_superuser: bool = False
    is_verified: bool = False


class UserRead(schemas.BaseUser[int]):
    pass


class UserCreate(schemas.BaseUserCreate):
    pass


ROWS: dict[int, User] = {}


class Database(BaseUserDatabase[User, int]):
    async def get(self, id: int) -> User | None:
        return ROWS.get(id)

    async def get_by_email(self, email: str) -> User | None:
        return next((user for user in ROWS.values() if user.email == email), None)

    async def create(self, create_dict: dict[str, Any]) -> User:
        user = User(id=len(ROWS) + 1, **create_dict)
        ROWS[user.id] = user
        return user


class UserManager(IntegerIDMixin, BaseUserManager[User, int]):
    pass


async def get_user_manager() -> AsyncIterator[UserManager]:
    yield UserManager(Database())
