package subscriber

// For the fuzz test, which is in package subscriber_test.
var (
	DecodeMessage = decodeMessage
	DecodeEvent   = decodeEvent
)
