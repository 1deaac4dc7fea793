"""Leaving, and bringing friends."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, SecretStr

from domains.customers.schemas.common import Body
from domains.customers.service import PASSWORD_MAX_LENGTH, Referrals


class DeletionIn(Body):
    """`forfeit`: give up the cashback that is left. Without it an account that holds some is not deleted."""

    current_password: Annotated[SecretStr, Field(max_length=PASSWORD_MAX_LENGTH)]
    confirm: Literal["delete my account"]
    forfeit: bool = False


class MonthOut(BaseModel):
    """`month` as "2026-11", in UTC."""

    month: str
    joined: int


class ReferralsOut(BaseModel):
    """Friends who joined with the code, as numbers: who they are is theirs to tell. Months with none are left out."""

    code: str
    link: str
    joined: int
    months: list[MonthOut]

    @classmethod
    def of(cls, referrals: Referrals) -> Self:
        months = [MonthOut(month=month, joined=count) for month, count in referrals.joined_by_month.items()]
        return cls(code=referrals.code, link=referrals.link, joined=referrals.joined, months=months)
