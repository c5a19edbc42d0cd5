"""Dated price books: data only."""
