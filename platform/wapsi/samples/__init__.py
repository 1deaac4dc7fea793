"""The sample merchants: invented shops whose feed files the project makes itself, the same bytes for the same seed."""

from wapsi.samples.generate import DEFAULT_AS_OF, DEFAULT_SEED, generate
from wapsi.samples.shops import SampleRate, SampleShop

__all__ = ["DEFAULT_AS_OF", "DEFAULT_SEED", "SampleRate", "SampleShop", "generate"]
