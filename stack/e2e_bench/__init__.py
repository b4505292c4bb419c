"""The measurement of the whole way: from a POST to the filtered topic, at given rates."""
