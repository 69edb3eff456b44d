"""Settings of a platform put into compiled pipelines."""
