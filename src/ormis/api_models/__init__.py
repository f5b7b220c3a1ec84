"""Pydantic models for APIs, made from a stored model: of what a client may send, and of responses."""

from .bodies import body
from .views import view

__all__ = ["body", "view"]
