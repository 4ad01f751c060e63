"""The users, before and after."""

from fastapi import HTTPException
from pwdlib import PasswordHash
from pydantic import BaseModel

passwords = PasswordHash.recommended()


class User(BaseModel):
    username: str
    full_name: str


USERS = {"ann": User(username="ann", full_name="Ann Lee")}
HASHES = {"ann": passwords.hash("secret")}


def check_password(username: str, password: str) -> User:
    if username not in USERS or not passwords.verify(password, HASHES[username]):
        raise HTTPException(401, "Incorrect username or password")
    return USERS[username]
