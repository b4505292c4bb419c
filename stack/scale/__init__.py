"""How large a pipeline for a rate must be: figures, a planner, and a simulation that backs it."""
