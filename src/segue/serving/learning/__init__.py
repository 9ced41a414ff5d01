"""What the service learns from feedback: updates, the online mode, estimates from the log."""
