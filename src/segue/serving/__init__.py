"""The service: recommend, listen, learn, in one loop. Nothing here loads torch."""
