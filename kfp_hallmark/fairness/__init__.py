"""How alike groups of rows are: groups, what is compared between them, disparities with intervals, and proxies."""
