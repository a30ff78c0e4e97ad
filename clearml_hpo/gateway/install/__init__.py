"""Files with which a site runs the gateway: NGINX before it, for TLS, and a systemd unit.

files.py  what is in them, and what a user types then
"""

from clearml_hpo.gateway.install.files import NGINX, UNIT, Site, next_commands, render_files

__all__ = ["NGINX", "UNIT", "Site", "next_commands", "render_files"]
