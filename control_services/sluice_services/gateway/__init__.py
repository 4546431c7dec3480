"""The face to apps and people: HTTP, errors, the API and its description, the page."""
