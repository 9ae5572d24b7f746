"""What the commands do besides the plugin itself: short-lived, in the foreground, for a person."""
