"""The event store: what people did and what they were shown, durable before it is acknowledged."""
