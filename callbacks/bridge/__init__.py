"""What stands in for the network of Aurora: reads callbacks from the WAL, invokes Lambda, writes the answers."""
