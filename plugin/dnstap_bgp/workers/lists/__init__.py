"""Lists at work: files and URLs become rules in force. A child process compiles; thread "loop" fetches.

manager        the front for main: load, follow, preview, status
loader         sources -> rules in force, by the child or from the compiled file
compile_job    what that child is given, and what it gives back; file_reports: its report on each file
compile_child  the child, which reads and compiles; commands do the same in their own process
pattern_costs  which expressions are left out, as they cost too much: measured, also with hostile_names
contents       files as the child reads them: their format, their parts, those that they include
files          files that sources mean, opened within limits; all that the plugin's own process does with them
refresher      when a URL is looked at again; fetch does it, url_cache keeps the last good copy
status         what `dnstap-bgp lists` shows
"""
