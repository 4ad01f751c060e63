"""All code that knows FastAPI: the dependencies, the application's start and end, OpenAPI, routers, WebSockets."""

from fastapi import APIRouter, FastAPI
from starlette.requests import HTTPConnection

__all__ = ["APIRouter", "FastAPI", "HTTPConnection"]  # for the signatures of `SessionProvider`
