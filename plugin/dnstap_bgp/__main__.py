"""`python -m dnstap_bgp` is the command `dnstap-bgp`."""

from dnstap_bgp.cli import main

if __name__ == "__main__":
    main()
