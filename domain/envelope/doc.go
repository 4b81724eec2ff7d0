// Package envelope reads and writes messages as they travel on the bus, and
// as the HTTP API takes them: one definition for both.
//
// A message is either a JSON object
//
//	{"to":"user:alice","type":"order.paid","data":{"n":1}}
//
// or, where the transport has headers or fields that hold "to", a body that is
// the data verbatim with the rest beside it. Whatever the input, reading it is
// safe, and what comes out keeps the promises of domain.Message: JSON data is
// valid and on one line, text is UTF-8.
//
// The JSON is read in one pass that validates it and finds the fields; the
// data is not decoded.
package envelope
