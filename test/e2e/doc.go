// Package e2e tests Fanfare as it runs: processes of the fanfare binary behind
// nginx with the configuration of deploy/, a real Redis, a real NATS, a browser, publishers and clients
// that other people wrote. It holds tests only.
//
// The binary is built once per run, with the race detector if the tests have
// it, and a data race or a panic in any node's log fails the test. Every
// process is on a free port of 127.0.0.1, has a directory of its own, and is
// gone when its test ends. What is not installed (see scripts/tools) skips the
// tests that need it.
package e2e
