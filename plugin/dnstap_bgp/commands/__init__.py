"""Commands of the program `dnstap-bgp`, one module each: short-lived, in the foreground, for a person."""
