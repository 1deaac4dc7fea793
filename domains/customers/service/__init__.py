"""What the customers domain can do. Other domains enter here."""

from domains.customers.errors import (
    ContactTaken,
    CustomerNotFound,
    OperatorExists,
    PasswordInvalid,
    PasswordWrong,
    PayoutMethodExists,
    PayoutMethodNotFound,
    ProducerNotFound,
    ProducerRevoked,
)
from domains.customers.models import (
    CustomerStatus,
    MessageState,
    OperatorStatus,
    PayoutMethodKind,
    SubjectKind,
    VerificationPurpose,
    WalletProvider,
)
from domains.customers.service.accounts import (
    PASSWORD_MAX_LENGTH,
    PASSWORD_MIN_LENGTH,
    ProfileChanges,
    create_customer,
    get_customer,
    get_profile,
    update_profile,
)
from domains.customers.service.answers import answer_verification
from domains.customers.service.authentication import Authentication
from domains.customers.service.codes import forget_verifications, is_right_code
from domains.customers.service.contacts import Contact, login_of
from domains.customers.service.messages import (
    ShownMessage,
    end_message,
    forget_messages,
    get_unsent,
    list_messages,
)
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
from domains.customers.service.sign_ups import finish_sign_up, sign_up
from domains.customers.service.subjects import confirm_password

__all__ = [
    "PASSWORD_MAX_LENGTH",
    "PASSWORD_MIN_LENGTH",
    "Authentication",
    "Contact",
    "ContactTaken",
    "CustomerNotFound",
    "CustomerRef",
    "CustomerStatus",
    "MessageState",
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
    "ShownMessage",
    "SubjectKind",
    "Tokens",
    "VerificationPurpose",
    "WalletProvider",
    "add_bank_account",
    "add_mobile_wallet",
    "answer_verification",
    "change_operator",
    "confirm_password",
    "create_customer",
    "create_operator",
    "create_producer",
    "end_message",
    "end_session",
    "end_sessions_of",
    "find_operator",
    "finish_sign_up",
    "forget_messages",
    "forget_sessions",
    "forget_verifications",
    "get_customer",
    "get_payout_method",
    "get_producer",
    "get_profile",
    "get_unsent",
    "is_right_code",
    "list_messages",
    "list_operators",
    "list_payout_methods",
    "list_producers",
    "login_of",
    "operators_who_may",
    "payout_account",
    "remove_payout_method",
    "reset_operator_password",
    "revoke_producer",
    "rotate_producer",
    "sign_up",
    "update_profile",
]
