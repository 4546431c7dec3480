"""Titles from the desk: encode and publish a file, follow its fill, list, remove."""
