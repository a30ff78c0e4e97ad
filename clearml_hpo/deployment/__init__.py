"""Files that start workers on clusters: filled in, and applied by the user.

files.py       renders templates, and writes what is not there yet
kubernetes.py  workers, controllers, Dask and the embedded server on Kubernetes

Each kind of cluster is a module, with its templates in ``templates/<kind>/``: ``render_files`` makes the texts by file
name, ``next_commands`` what a user types then, and why.
"""
