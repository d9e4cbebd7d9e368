"""What networks are made of: units, heads, padding and pooling of other frameworks."""
