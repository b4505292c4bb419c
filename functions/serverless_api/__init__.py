"""A web API over Aurora Serverless: a WSGI application behind one Lambda."""
