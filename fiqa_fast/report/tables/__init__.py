"""The tables of an evaluation, for the page and for papers: one kind of record per file."""
