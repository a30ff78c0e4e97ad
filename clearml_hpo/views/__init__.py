"""What a terminal shows.

display.py       a running study: a live view on a terminal, plain lines elsewhere
screen.py        how all views take the screen
json_console.py  the same as JSON, a line each, for log collectors
"""
