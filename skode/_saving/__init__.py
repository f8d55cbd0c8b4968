"""Saved models: files of numbers and text, from which nothing can be executed."""

from .models import load, save

__all__ = ["load", "save"]
