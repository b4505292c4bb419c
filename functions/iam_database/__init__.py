"""Reach an isolated database by short-lived IAM tokens: its initializer and a recurring query."""
