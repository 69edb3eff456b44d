"""What the columns of a dataset hold, in a few kilobytes, and how far two datasets are apart.

A `Profile` is made in one pass over a dataset, piece by piece (`scan`), kept as JSON, and compared with what a later
dataset holds (`drift`) without reading the first one again.
"""
