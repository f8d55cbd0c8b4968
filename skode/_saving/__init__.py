"""Saved models: files of numbers and text, which nothing can be executed from."""

from .models import load, save

__all__ = ["load", "save"]
