"""From a path to an aligned crop: find image files, decode them, detect faces, cut them out."""
