"""PostgreSQL and Lambda call each other: SQL functions, Lambdas, and a local stand-in for the extension."""
