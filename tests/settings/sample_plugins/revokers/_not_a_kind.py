"""A file with a leading underscore: no plug-in."""
