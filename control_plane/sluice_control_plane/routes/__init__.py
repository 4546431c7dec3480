"""Whose traffic a partner asked a site to carry."""
