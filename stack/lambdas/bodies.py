"""Owns reading the body of a request up to a limit. Must never keep more of it in memory."""

from typing import Final

from starlette.requests import Request

from stack.lambdas.faults import too_large

# Of a body that is too long this much is read and forgotten, because a sender who is cut off in the middle often sees
# a broken connection instead of the answer.
_DRAINED_BYTES: Final = 64 * 1024 * 1024


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body.

    Raises:
        ApiError: It has more than `limit` bytes.
    """
    chunks: list[bytes] = []
    length = 0
    async for chunk in request.stream():
        length += len(chunk)
        if length <= limit:
            chunks.append(chunk)
        elif length > limit + _DRAINED_BYTES:
            break
        else:
            chunks.clear()
    if length > limit:
        raise too_large(limit)
    return b"".join(chunks)
