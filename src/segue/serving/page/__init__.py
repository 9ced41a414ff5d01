"""The web page of the service: try, live, online, health, patterns, catalogue; in the service's own process."""
