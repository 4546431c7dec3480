"""The truth of the CDN: who there is, what there is to watch, and who is sent where."""
