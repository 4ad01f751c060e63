"""AuthX: the data stands in the token itself. There is no store, and nothing can be revoked."""

import os
from typing import Annotated, Any

from authx import AuthX, AuthXConfig, TokenPayload
from fastapi import Depends, FastAPI, Request

auth = AuthX(
    AuthXConfig(
        JWT_ALGORITHM="HS256",
        JWT_SECRET_KEY=os.environ["JWTSESSION_SECRET"],
        JWT_TOKEN_LOCATION=["headers"],
    )
)
app = FastAPI()
auth.handle_errors(app)


@app.get("/")
async def read(payload: Annotated[TokenPayload, Depends(auth.access_token_required)]) -> dict[str, Any]:
    """What every application answers."""
    extra = payload.model_extra or {}
    return {"user_id": extra["user_id"], "items": len(extra["cart"])}


@app.post("/session")
async def log_in(request: Request) -> dict[str, str]:
    """The headers of the requests to come."""
    token = auth.create_access_token(uid="1", data=await request.json())
    return {"authorization": f"Bearer {token}"}
