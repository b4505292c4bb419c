"""Users in PostgreSQL, their todos in DynamoDB, behind one Lambda."""
