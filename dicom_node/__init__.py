"""Everything that speaks DICOM, and the daemon that keeps it running."""
