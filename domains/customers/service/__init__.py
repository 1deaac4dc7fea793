"""What the customers domain can do. Other domains enter here."""

from domains.customers.errors import (
    CustomerNotFound,
    OperatorExists,
    PasswordInvalid,
    PasswordWrong,
    PayoutMethodExists,
    PayoutMethodNotFound,
    ProducerNotFound,
    ProducerRevoked,
)
from domains.customers.models import CustomerStatus, OperatorStatus, PayoutMethodKind, SubjectKind, WalletProvider
from domains.customers.service.accounts import (
    PASSWORD_MAX_LENGTH,
    PASSWORD_MIN_LENGTH,
    ProfileChanges,
    get_customer,
    get_profile,
    sign_up,
    update_profile,
)
from domains.customers.service.authentication import Authentication
from domains.customers.service.operators import (
    change_operator,
    create_operator,
    find_operator,
    list_operators,
    operators_who_may,
    reset_operator_password,
)
from domains.customers.service.payout_methods import (
    add_bank_account,
    add_mobile_wallet,
    get_payout_method,
    list_payout_methods,
    payout_account,
    remove_payout_method,
)
from domains.customers.service.producers import (
    create_producer,
    get_producer,
    list_producers,
    revoke_producer,
    rotate_producer,
)
from domains.customers.service.refs import (
    CustomerRef,
    OperatorRef,
    PayoutMethodRef,
    ProducerRef,
    Profile,
    Tokens,
)
from domains.customers.service.sessions import SessionIssuer, end_session, end_sessions_of, forget_sessions
from domains.customers.service.subjects import confirm_password

__all__ = [
    "PASSWORD_MAX_LENGTH",
    "PASSWORD_MIN_LENGTH",
    "Authentication",
    "CustomerNotFound",
    "CustomerRef",
    "CustomerStatus",
    "OperatorExists",
    "OperatorRef",
    "OperatorStatus",
    "PasswordInvalid",
    "PasswordWrong",
    "PayoutMethodExists",
    "PayoutMethodKind",
    "PayoutMethodNotFound",
    "PayoutMethodRef",
    "ProducerNotFound",
    "ProducerRef",
    "ProducerRevoked",
    "Profile",
    "ProfileChanges",
    "SessionIssuer",
    "SubjectKind",
    "Tokens",
    "WalletProvider",
    "add_bank_account",
    "add_mobile_wallet",
    "change_operator",
    "confirm_password",
    "create_operator",
    "create_producer",
    "end_session",
    "end_sessions_of",
    "find_operator",
    "forget_sessions",
    "get_customer",
    "get_payout_method",
    "get_producer",
    "get_profile",
    "list_operators",
    "list_payout_methods",
    "list_producers",
    "operators_who_may",
    "payout_account",
    "remove_payout_method",
    "reset_operator_password",
    "revoke_producer",
    "rotate_producer",
    "sign_up",
    "update_profile",
]
