"""Who may call: the authority, the certificates that it signs, and which role may call what."""
