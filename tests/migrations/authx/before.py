"""AuthX: an access token for fifteen minutes, and a refresh token for twenty days, in headers or in cookies."""

import os
from typing import Annotated

from authx import AuthX, AuthXConfig, TokenPayload
from fastapi import Depends, FastAPI, HTTPException, Response

auth = AuthX(AuthXConfig(JWT_SECRET_KEY=os.environ["SECRET_KEY"], JWT_TOKEN_LOCATION=["headers", "cookies"]))
app = FastAPI()
auth.handle_errors(app)

AccessToken = Annotated[TokenPayload, Depends(auth.access_token_required)]
RefreshToken = Annotated[TokenPayload, Depends(auth.refresh_token_required)]


def check_password(name: str, password: str) -> None:
    if (name, password) != ("ann", "secret"):
        raise HTTPException(401, "Wrong name or password")


@app.post("/login")
def log_in(name: str, password: str) -> dict[str, str]:
    check_password(name, password)
    return {"access_token": auth.create_access_token("1"), "refresh_token": auth.create_refresh_token("1")}


@app.post("/login/browser", status_code=204)
def log_in_browser(name: str, password: str, response: Response) -> None:
    check_password(name, password)
    auth.set_access_cookies(auth.create_access_token("1"), response)
    auth.set_refresh_cookies(auth.create_refresh_token("1"), response)


@app.post("/refresh")
def refresh(payload: RefreshToken) -> dict[str, str]:
    return {"access_token": auth.create_access_token(payload.sub)}


@app.post("/refresh/browser", status_code=204)
def refresh_browser(payload: RefreshToken, response: Response) -> None:
    auth.set_access_cookies(auth.create_access_token(payload.sub), response)


@app.get("/me")
def me(payload: AccessToken) -> dict[str, str]:
    return {"user_id": payload.sub}


@app.post("/logout", status_code=204)
def log_out(response: Response) -> None:
    auth.unset_cookies(response)
