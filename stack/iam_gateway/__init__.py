"""A TCP gateway before the local PostgreSQL that takes IAM tokens for passwords, as RDS does."""
