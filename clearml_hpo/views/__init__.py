"""What a terminal or a notebook shows.

display.py       a running study: a live view on a terminal, plain lines elsewhere
screen.py        how all views take the screen
notebook.py      the same in the output of a notebook's cell
json_console.py  the same as JSON, a line each, for log collectors
"""
