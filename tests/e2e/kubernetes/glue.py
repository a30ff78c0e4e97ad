"""ClearML's Kubernetes agent, unmodified: ``glue.py QUEUE POD.yaml``."""

import sys

from clearml_agent.glue.k8s import K8sIntegration

# A line that removes a file of the system's Python is for containers; here pods are processes of this machine.
SCRIPT = [line for line in K8sIntegration.CONTAINER_BASH_SCRIPT if "EXTERNALLY-MANAGED" not in line]

K8sIntegration(template_yaml=sys.argv[2], container_bash_script=SCRIPT).k8s_daemon(sys.argv[1])
