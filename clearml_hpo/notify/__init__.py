"""Tells users what becomes of a study: by webhook, Slack, e-mail or a command.

events.py    what has happened that is worth a message, and what the message says
channels.py  the ways that a message goes, and what they lack
sender.py    sends in the background: a thread for each channel, retries, a bounded end
notifier.py  all of these, for one study
"""

from clearml_hpo.notify.channels import Channel, NotSentError, channels_of, faults_of_channels
from clearml_hpo.notify.events import About, Message, described, sample_message
from clearml_hpo.notify.notifier import Notifier
from clearml_hpo.notify.sender import try_channels

__all__ = [
    "About",
    "Channel",
    "Message",
    "NotSentError",
    "Notifier",
    "channels_of",
    "described",
    "faults_of_channels",
    "sample_message",
    "try_channels",
]
