"""Several slots over row-filtered publications, one process each, managed as one engine; how their number changes."""
