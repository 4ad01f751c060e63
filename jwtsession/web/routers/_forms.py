"""Reads the fields of a form, without python-multipart."""

from collections.abc import Sequence
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request

from ...errors import JWTSessionError
from ...transports.body import MAX_BODY_BYTES, MAX_BODY_FIELDS

FORM = "application/x-www-form-urlencoded"


class InvalidRequestError(JWTSessionError):
    """400 or 413: the request is not the form that the endpoint takes."""

    def __init__(self, description: str, status: int = 400) -> None:
        self.status = status
        super().__init__(description)


async def form_fields(request: Request) -> Sequence[tuple[str, object]]:
    """The fields of a request's form, in their order.

    Raises:
        InvalidRequestError: The body is no such form, it is too large, or it ended early.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise InvalidRequestError(f"the body must be {FORM}")
    if request._form is not None:  # FastAPI has read it, because a dependency declares a form
        return request._form.multi_items()
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise InvalidRequestError("the form is too large", 413)
        return parse_qsl(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=MAX_BODY_FIELDS)
    except ClientDisconnect:
        raise InvalidRequestError("the body ended early") from None
    except ValueError:
        raise InvalidRequestError("the form has too many fields", 413) from None
