"""Sending an e-mail or a text message to one person, over what the settings name."""

from wapsi.messages.message import Channel, Message, MessageNotSent, MessageRefused, MessageSender
from wapsi.messages.senders import make_sender

__all__ = ["Channel", "Message", "MessageNotSent", "MessageRefused", "MessageSender", "make_sender"]
