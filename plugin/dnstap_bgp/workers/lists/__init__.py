"""Lists: files and URLs -> rules in force. A child process compiles; thread "refresh" fetches.

listing     the front for main: load, follow, preview, status
loader      sources -> a rule set, by the child or from the compiled file
compiler    the child; sources reads there; files finds what a glob means
refresh     the thread: when a URL is looked at again; fetch does it, copies keeps the last good one
status      what `dnstap-bgp lists` shows
"""
