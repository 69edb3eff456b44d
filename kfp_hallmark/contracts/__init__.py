"""The documents and artifacts that components hand to one another."""
