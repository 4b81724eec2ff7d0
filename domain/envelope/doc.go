// Package envelope reads and writes the wire form of messages. The bus and the
// HTTP API share it. docs/protocol.md describes it for authors of clients and
// publishers.
//
// # Forms
//
// A message has one of two forms. It is a JSON object, the envelope:
//
//	{"to":"user:alice","type":"order.paid","data":{"n":1}}
//
// Or, on a transport with headers or fields, it has a header "to". Then the
// body is the data, verbatim, and further headers hold the other fields.
// [Decode] reads either form, [Parse] reads the envelope, and [Append] writes
// it. A channel that another program fills with its own JSON objects can be
// adopted, see [Rules].
//
// # Promises
//
// Any input is safe to read. A message that was read passes
// [domain.Message.Check]: JSON data is valid and on one line, and text is UTF-8.
// One pass over the JSON validates it and finds the fields; the data is not
// decoded.
package envelope
