"""Data sets in the forms in which people have them, one form per file, all read as protocols."""
