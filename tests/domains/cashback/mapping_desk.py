"""An operator at the status mappings, and what came of them."""

from typing import Any
from uuid import uuid4

import httpx2

from domains.cashback import service
from domains.cashback.service.mappings import DEFAULT_MAPPING

PROPOSALS = "/v1/admin/mapping-proposals"


class Desk:
    """An operator of finance at the mappings of one source. `words` are changed or added, None drops one."""

    def __init__(self, api: httpx2.AsyncClient, world: Any, headers: dict[str, str]) -> None:
        self.api = api
        self.world = world
        self.headers = headers

    async def post(self, path: str, body: Any = None) -> httpx2.Response:
        return await self.api.post(path, json=body, headers=self.headers | {"Idempotency-Key": uuid4().hex})

    async def get(self, path: str) -> Any:
        answer = await self.api.get(path, headers=self.headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def propose(self, source: str = "impact", **words: str | None) -> str:
        mapping = {word: state for word, state in (DEFAULT_MAPPING | words).items() if state is not None}
        made = await self.post(PROPOSALS, {"source": source, "words": mapping})
        assert made.status_code == 201, made.text
        return str(made.json()["id"])

    async def preview(self, proposal_id: str) -> Any:
        asked = await self.post(f"{PROPOSALS}/{proposal_id}:preview")
        assert (asked.status_code, asked.json()["state"]) == (202, "previewing"), asked.text
        assert await self.world.run_jobs(service.PREVIEW_MAPPING) == 1
        return await self.get(f"{PROPOSALS}/{proposal_id}")

    async def apply(self, proposal_id: str) -> Any:
        """With the second look for what came late."""
        asked = await self.post(f"{PROPOSALS}/{proposal_id}:apply")
        assert (asked.status_code, asked.json()["state"]) == (202, "applying"), asked.text
        assert await self.world.run_jobs(service.REPLAY_MAPPING) == 1
        return await self.look_again(proposal_id)

    async def look_again(self, proposal_id: str) -> Any:
        await self.world.sql(
            "UPDATE jobs SET due_at = now() WHERE kind = $1 AND state = 'ready'", "cashback.replay_mapping"
        )
        await self.world.sql("UPDATE mapping_proposals SET activated_at = activated_at - interval '5 min'")
        assert await self.world.run_jobs(service.REPLAY_MAPPING) == 1
        return await self.get(f"{PROPOSALS}/{proposal_id}")

    async def sales(self, proposal_id: str, query: str = "") -> list[Any]:
        found: list[Any] = (await self.get(f"{PROPOSALS}/{proposal_id}/sales{query}"))["items"]
        return found


async def states(world: Any) -> dict[str, tuple[str, str | None]]:
    """{sale: (state, its cashback's)}"""
    rows = await world.sql(
        "SELECT c.external_id, c.state, r.state AS reward FROM conversions c LEFT JOIN rewards r"
        " ON r.conversion_id = c.id ORDER BY 1"
    )
    return {row["external_id"]: (row["state"], row["reward"]) for row in rows}
