"""Which sender the settings name."""

from urllib.parse import urlsplit

from wapsi.config import CONSOLE, Settings
from wapsi.messages.console import ConsoleSender
from wapsi.messages.message import Channel, MessageRefused, MessageSender
from wapsi.messages.smtp import SMTPSender
from wapsi.messages.webhook import WebhookSender


def make_sender(channel: Channel, settings: Settings) -> MessageSender:
    """Raises MessageRefused where none is configured."""
    url = settings.mail_target if channel is Channel.EMAIL else settings.sms_target
    if url is None:
        raise MessageRefused(f"No sender is configured for {channel}.", channel=channel)
    if url == CONSOLE:
        return ConsoleSender()
    if channel is Channel.EMAIL:
        return SMTPSender(url, sender=settings.mail_sender, own_name=urlsplit(settings.public_url).hostname or "wapsi")
    assert settings.sms_secret is not None
    return WebhookSender(url, secret=settings.sms_secret.get_secret_value())
