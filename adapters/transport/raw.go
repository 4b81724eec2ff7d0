package transport

// RawKey is a metadata key that a publisher sets, to any value but "", to say
// that the payload stands for itself: an envelope, which already holds the id
// and everything else. A driver whose bus carries bare payloads then sends the
// payload verbatim, without UUID and metadata, so that any subscriber can read
// it. Without RawKey such a driver frames the message, so that nothing is
// lost. The key itself never travels: every driver drops it.
const RawKey = "fanfare.raw"
