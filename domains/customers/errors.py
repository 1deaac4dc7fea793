"""What can go wrong with accounts, producers and payout methods."""

from wapsi.errors import Conflict, Invalid, NotFound, PermissionDenied, PreconditionFailed, Unauthenticated


class CustomerNotFound(NotFound):
    reason = "CUSTOMER_NOT_FOUND"


class CustomerSuspended(PreconditionFailed):
    """Operators look into the account: it stays as it is until they are done."""

    reason = "CUSTOMER_SUSPENDED"


class ReferralCodeUnknown(Invalid):
    reason = "REFERRAL_CODE_UNKNOWN"


class PasswordInvalid(Invalid):
    reason = "PASSWORD_INVALID"


class PasswordBreached(Invalid):
    reason = "PASSWORD_BREACHED"


class PasswordWrong(PermissionDenied):
    """The password that confirms a change is not the account's. Not a 401: the session itself is good."""

    reason = "PASSWORD_WRONG"


class OperatorNotFound(NotFound):
    reason = "OPERATOR_NOT_FOUND"


class OperatorIsSelf(PreconditionFailed):
    """Nobody changes their own role or status: a mistake could not be taken back, and a gain would be one's own."""

    reason = "OPERATOR_IS_SELF"


class LastAdmin(PreconditionFailed):
    """Without an active admin nobody could make one, except at the server itself."""

    reason = "LAST_ADMIN"


class CodeInvalid(Invalid):
    """One answer for wrong, expired, used and unknown: it tells a guesser nothing."""

    reason = "CODE_INVALID"

    def __init__(self) -> None:
        super().__init__("The code is wrong, expired or used. Try again, or ask for a new one.")


class ContactTaken(Conflict):
    reason = "CONTACT_TAKEN"


class PhoneUnavailable(PreconditionFailed):
    reason = "PHONE_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("No text messages are sent from here. Use an e-mail address.")


class ChallengeInvalid(Unauthenticated):
    """One answer for unknown, expired, used, and tried too often."""

    reason = "CHALLENGE_INVALID"

    def __init__(self) -> None:
        super().__init__("This challenge is not known, was used, or is too old. Begin again.")


class SecondFactorInvalid(Unauthenticated):
    """While signing in: the password was right, and what came with it was not."""

    reason = "SECOND_FACTOR_INVALID"

    def __init__(self) -> None:
        super().__init__("The code is not right, or was used before. Wait for the next one, or use a recovery code.")


class FactorCodeWrong(PermissionDenied):
    """While signed in. Not a 401: the session itself is good."""

    reason = "FACTOR_CODE_WRONG"

    def __init__(self) -> None:
        super().__init__("The code is not right, or was used before. Wait for the next one.")


class FactorExists(Conflict):
    reason = "FACTOR_EXISTS"


class FactorNotFound(NotFound):
    reason = "FACTOR_NOT_FOUND"


class PasskeyInvalid(Invalid):
    """One answer for another origin, another challenge, a signature that does not hold, and what cannot be read."""

    reason = "PASSKEY_INVALID"

    def __init__(self) -> None:
        super().__init__("The device's answer does not belong to this challenge. Begin again.")


class PasskeyExists(Conflict):
    reason = "PASSKEY_EXISTS"


class PasskeyLimit(PreconditionFailed):
    reason = "PASSKEY_LIMIT"


class PasskeyNotFound(NotFound):
    reason = "PASSKEY_NOT_FOUND"


class SessionNotFound(NotFound):
    reason = "SESSION_NOT_FOUND"


class OperatorExists(Conflict):
    reason = "OPERATOR_EXISTS"


class ProducerNotFound(NotFound):
    reason = "PRODUCER_NOT_FOUND"


class ProducerRevoked(PreconditionFailed):
    reason = "PRODUCER_REVOKED"


class ProducerKeyNotFound(NotFound):
    reason = "PRODUCER_KEY_NOT_FOUND"


class ProducerKeyRevoked(PreconditionFailed):
    reason = "PRODUCER_KEY_REVOKED"


class ProducerKeyLimit(PreconditionFailed):
    """So many keys of one producer are good already."""

    reason = "PRODUCER_KEY_LIMIT"


class ProducerScopesInvalid(Invalid):
    reason = "PRODUCER_SCOPES_INVALID"


class ProducerExpiryPast(Invalid):
    reason = "PRODUCER_EXPIRY_PAST"


class MerchantUnknown(Invalid):
    """A producer was to speak for a merchant that does not exist."""

    reason = "MERCHANT_UNKNOWN"


class NetworkUnknown(Invalid):
    reason = "NETWORK_UNKNOWN"


class IBANInvalid(Invalid):
    reason = "IBAN_INVALID"


class MobileNumberInvalid(Invalid):
    reason = "MOBILE_NUMBER_INVALID"


class PayoutMethodNotFound(NotFound):
    reason = "PAYOUT_METHOD_NOT_FOUND"


class PayoutMethodExists(Conflict):
    reason = "PAYOUT_METHOD_EXISTS"


class PayoutMethodLimit(PreconditionFailed):
    reason = "PAYOUT_METHOD_LIMIT"


class FavouriteLimit(PreconditionFailed):
    reason = "FAVOURITE_LIMIT"
