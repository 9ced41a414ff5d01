"""The HTTP interface: schemas, routes, errors as JSON."""
