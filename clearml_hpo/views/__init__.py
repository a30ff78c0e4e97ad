"""What a terminal shows.

display.py   a running study: a live view on a terminal, plain lines elsewhere
screen.py    how all views take the screen
"""
