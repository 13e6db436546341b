"""The transfer syntaxes of CT images: which keep Hounsfield units (PS3.5 section 10 and annex A)."""

from pydicom import uid

UNCOMPRESSED = (
    uid.ExplicitVRLittleEndian,
    uid.ImplicitVRLittleEndian,
    uid.DeflatedExplicitVRLittleEndian,
)
COMPRESSED_LOSSLESS = (
    uid.RLELossless,
    uid.JPEGLosslessSV1,
    uid.JPEGLossless,
    uid.JPEGLSLossless,
    uid.JPEG2000Lossless,
    uid.HTJ2KLossless,
    uid.HTJ2KLosslessRPCL,
)
LOSSLESS: tuple[uid.UID, ...] = (*UNCOMPRESSED, uid.ExplicitVRBigEndian, *COMPRESSED_LOSSLESS)

# 1.2.840.10008.1.2.4.91 and .203 may hold lossless data too, but nothing outside the codestream proves it.
LOSSY: dict[uid.UID, str] = {
    syntax: syntax.name
    for syntax in (
        uid.JPEGBaseline8Bit,
        uid.JPEGExtended12Bit,
        uid.JPEGLSNearLossless,
        uid.JPEG2000,
        uid.HTJ2K,
    )
}

# pydicom would take Pillow for JPEG 2000 where it happens to be installed; one decoder everywhere.
DECODING_PLUGINS: dict[uid.UID, str] = {
    uid.JPEG2000Lossless: "pylibjpeg",
    uid.JPEGLSLossless: "pyjpegls",
    uid.RLELossless: "pylibjpeg",
}
