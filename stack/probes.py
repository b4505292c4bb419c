"""Owns the questions by which a service is known to be ready. They are asked again and again, and raise nothing."""

import socket

import httpx

from stack.settings import HOST


def answers(url: str) -> bool:
    """Tell whether a GET of this URL succeeds."""
    try:
        return httpx.get(url, timeout=3).is_success
    except httpx.HTTPError:
        return False


def listens(port: int) -> bool:
    """Tell whether somebody takes connections at this port."""
    try:
        socket.create_connection((HOST, port), timeout=2).close()
    except OSError:
        return False
    return True
