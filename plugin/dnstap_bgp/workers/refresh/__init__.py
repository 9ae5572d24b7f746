"""Active refresh at work: asks the tapped resolver, in the thread "loop".

active_refresh  what the rest of the program knows of it; nothing is imported or paid for where no list is refreshed
questioner      the service in the loop
"""
