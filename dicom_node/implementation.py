"""How this node names itself in associations and in the files that it writes (PS3.7 D.3.3.2, PS3.10 7.1)."""

from dicom_node.identifiers import derive_uid

IMPLEMENTATION_CLASS_UID = derive_uid("glia-node", "implementation")
# Without a version: a spooled file's head keeps its length over upgrades, so that duplicates are recognised.
IMPLEMENTATION_VERSION_NAME = "GLIA_NODE"
