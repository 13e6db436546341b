"""What [delivery] says of trying again, as storage asks for it."""

from dicom_node.retry_delay import retry_delay
from dicom_node.settings import DeliverySettings
from storage.commitment import ResendRules


def resend_rules(rules: DeliverySettings) -> ResendRules:
    """How often a delivery is tried, and how long it rests after each failure."""
    return ResendRules(
        rules.maximum_attempts, lambda attempts: retry_delay(attempts, rules.first_delay_s, rules.maximum_delay_s)
    )
