"""Training scripts: how one is started, which files belong to it, and how these travel.

entry.py     what a study file says of a script: file or module, arguments, working directory, launcher
sources.py   Python sources: their text, what they import, which files they name
code.py      the files that belong to a script; their identity, their archive, the packages that they import
packing.py   the script of a task whose files travel as an archive
starter.py   fetches and starts a script of several files, under any agent; standalone
startup/     changes to the SDK that every Python of a trial makes first
place.py     the folder of a script on this machine, shown to runs that are apart from it
"""
