"""Why a process refuses to start. Apart from the roots, which the CLI imports only when it runs one."""


class CannotListen(Exception):
    """A port that is taken, or may not be used; in words, with the setting to change."""
