"""Start a stopped Aurora cluster when somebody needs it, and stop one that nobody uses."""
