"""FastAPI's tutorial: the user's name in a signed token, and no logout."""

import os
from datetime import UTC, datetime, timedelta
from typing import Annotated

import jwt
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm

from .accounts import USERS, User, check_password

SECRET_KEY = os.environ["SECRET_KEY"]
app = FastAPI()
bearer_token = OAuth2PasswordBearer(tokenUrl="token")


def get_current_user(token: Annotated[str, Depends(bearer_token)]) -> User:
    try:
        username = jwt.decode(token, SECRET_KEY, algorithms=["HS256"])["sub"]
        return USERS[username]
    except (jwt.InvalidTokenError, KeyError):
        raise HTTPException(401, "Could not validate credentials", {"WWW-Authenticate": "Bearer"}) from None


@app.post("/token")
def log_in(form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> dict[str, str]:
    user = check_password(form.username, form.password)
    claims = {"sub": user.username, "exp": datetime.now(UTC) + timedelta(days=8)}
    return {"access_token": jwt.encode(claims, SECRET_KEY), "token_type": "bearer"}


@app.get("/users/me")
def read_me(user: Annotated[User, Depends(get_current_user)]) -> User:
    return user
