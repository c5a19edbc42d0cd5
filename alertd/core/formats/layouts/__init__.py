"""One declaration a file format: a module here with a LAYOUT is a known layout."""
