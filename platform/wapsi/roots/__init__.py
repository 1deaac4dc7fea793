"""Composition roots: the only places, with the CLI and the migrations, that know both the domains and the platform."""
