"""One signature over many texts: that of a hash tree's root. With each text goes its way up to the root.

To sign takes longer than all else that is done for a text, and holds the interpreter's lock meanwhile.
"""

from collections.abc import Sequence
from hashlib import sha256

HASH_BYTES = 32
# What stands before a root where it is signed: no token and no other text that is signed begins so.
PREFIX = b"wapsi-ed25519-tree\0"
# A leaf is never taken for a node.
_LEAF, _NODE = b"\0", b"\1"


def root_and_ways(texts: Sequence[bytes]) -> tuple[bytes, list[bytes]]:
    """Of one text or more: the root, and for each text the hashes that lead from it there."""
    levels = [[sha256(_LEAF + text).digest() for text in texts]]
    while len(level := levels[-1]) > 1:
        above = [_node(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            above.append(level[-1])
        levels.append(above)
    [root] = levels.pop()
    # From the root down: a node's way is the node beside it, and then that of the one above both.
    ways = [b""]
    for level in reversed(levels):
        alone = len(level) - 1 if len(level) % 2 else -1
        ways = [ways[at >> 1] if at == alone else level[at ^ 1] + ways[at >> 1] for at in range(len(level))]
    return root, ways


def root_of(text: bytes, way: bytes) -> bytes:
    """Raises ValueError for what is no way."""
    if len(way) % HASH_BYTES:
        raise ValueError("not a row of hashes")
    node = sha256(_LEAF + text).digest()
    for at in range(0, len(way), HASH_BYTES):
        node = _node(node, way[at : at + HASH_BYTES])
    return node


def _node(one: bytes, other: bytes) -> bytes:
    # In order of their values, so that a way need not say on which side each of its hashes stands.
    return sha256(_NODE + one + other if one < other else _NODE + other + one).digest()
