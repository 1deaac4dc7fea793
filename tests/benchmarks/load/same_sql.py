"""The floor of a cold page: FastAPI, asyncpg with its pool as it comes, orjson; nothing else.

    SAME_SQL_DSN=postgresql://... SAME_SQL_FILE=FILE uvicorn tests.benchmarks.load.same_sql:app

FILE is a pickled list of (SQL, arguments), those that the product's own builder gives; `/rows?n=N` runs the N-th.
"""

import os
import pickle
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import orjson
from fastapi import FastAPI, Request, Response

# Of the benchmark that started us.
_queries: list[tuple[str, Sequence[Any]]] = pickle.loads(Path(os.environ["SAME_SQL_FILE"]).read_bytes())


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["SAME_SQL_DSN"]) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=_lifespan)


@app.get("/rows")
async def rows(request: Request, n: int) -> Response:
    sql, arguments = _queries[n]
    found = await request.app.state.pool.fetch(sql, *arguments)
    body = orjson.dumps({"items": [dict(row) for row in found]}, default=str)
    return Response(body, media_type="application/json")
