"""Questions to ranked lists."""
