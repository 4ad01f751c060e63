"""Asks each server of a store, for the command line."""

from .node import Node, Refusal
from .survey import Survey, leave, survey

__all__ = ["Node", "Refusal", "Survey", "leave", "survey"]
