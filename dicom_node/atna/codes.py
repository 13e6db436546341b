"""Codes of audit messages: PS3.16 CID 400 to 403, annex D (DCM), and RFC 3881 as PS3.15 A.5.1.2 cites it."""

from dicom_node.atna.message import Code


def _dcm(value: str, meaning: str) -> Code:
    return Code(value, "DCM", meaning)


# Events, CID 400
APPLICATION_ACTIVITY = _dcm("110100", "Application Activity")
AUDIT_LOG_USED = _dcm("110101", "Audit Log Used")
BEGIN_TRANSFERRING = _dcm("110102", "Begin Transferring DICOM Instances")
INSTANCES_ACCESSED = _dcm("110103", "DICOM Instances Accessed")
INSTANCES_TRANSFERRED = _dcm("110104", "DICOM Instances Transferred")
SECURITY_ALERT = _dcm("110113", "Security Alert")

# Types of events, CID 401 and 403
APPLICATION_START = _dcm("110120", "Application Start")
APPLICATION_STOP = _dcm("110121", "Application Stop")
NODE_AUTHENTICATION = _dcm("110126", "Node Authentication")
AUDIT_RECORDING_STOPPED = _dcm("110133", "Audit Recording Stopped")
USE_OF_RESTRICTED_FUNCTION = _dcm("110132", "Use of Restricted Function")

# Roles of participants, CID 402
APPLICATION = _dcm("110150", "Application")
DESTINATION_ROLE = _dcm("110152", "Destination Role ID")
SOURCE_ROLE = _dcm("110153", "Source Role ID")

# What an object is identified by, CID 404 and PS3.15 table A.5.1.2.4
STUDY_INSTANCE_UID = _dcm("110180", "Study Instance UID")
NODE_ID = _dcm("110182", "Node ID")
PATIENT_NUMBER = Code("2", "RFC-3881", "Patient Number")
URI = Code("12", "RFC-3881", "URI")

# PS3.15 A.5.1: ParticipantObjectTypeCode and ParticipantObjectTypeCodeRole
PERSON, SYSTEM_OBJECT = "1", "2"
PATIENT, REPORT, SECURITY_RESOURCE = "1", "3", "13"

# EventActionCode
CREATE, READ, DELETE, EXECUTE = "C", "R", "D", "E"

# EventOutcomeIndicator
SUCCESS, MINOR_FAILURE, SERIOUS_FAILURE, MAJOR_FAILURE = 0, 4, 8, 12
