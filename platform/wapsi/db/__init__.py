from wapsi.db.base import Base, metadata
from wapsi.db.driver import Plans
from wapsi.db.engine import Database
from wapsi.db.reads import Reads
from wapsi.db.sessions import ReadSession, WriteSession

__all__ = ["Base", "Database", "Plans", "ReadSession", "Reads", "WriteSession", "metadata"]
