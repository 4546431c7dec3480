"""The registry of titles: what there is to watch and which files it is made of."""
