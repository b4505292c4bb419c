"""What can be seen of the engine: from within by its observer and endpoint, from outside by doctor and status."""
