"""The Lambda functions of the local stack: what runs beside the pipeline for them, and a walk through each system."""
