"""The commands of `dicom-node`: one module each, imported when the command runs."""
