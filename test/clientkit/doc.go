// Package clientkit is the script that every client of fanfare.v1.json must pass: one
// server that plays the part of a node, and scenarios that say what the node does and
// what the client must do then. docs/clients.md lists the rules of all scenarios; it is
// generated from them.
//
// A client is driven by a small program, its driver, which reads commands from its
// standard input and writes what the client told it to its standard output: one JSON
// object a line. docs/clients.md describes these lines. Package test/clients drives the
// clients of this repository, and any other whose driver it is told:
//
//	DRIVER='dart run driver.dart' go test ./test/clients -run TestYours -v
//
// The server looks only at what it receives and at what the driver writes. It never looks
// at a clock to say that a client was too slow, except that each wait ends after
// [Patience]. It does say that a client came back too early.
package clientkit
