"""What must survive a power cut: spool, series, jobs, outbox, audit. Knows neither DICOM nor the model."""
