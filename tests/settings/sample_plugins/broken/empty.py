"""A file that forgot to be a plug-in."""
