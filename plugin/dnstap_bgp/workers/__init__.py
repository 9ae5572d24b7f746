"""The blocking ring: each module owns its threads and says so in its first line."""
