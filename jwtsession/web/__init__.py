"""All code that knows FastAPI: the dependencies, the application's start and end, OpenAPI, routers, WebSockets."""

from fastapi import APIRouter, FastAPI

__all__ = ["APIRouter", "FastAPI"]  # for the signatures of `SessionProvider`
