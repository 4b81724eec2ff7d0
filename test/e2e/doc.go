// Package e2e tests Fanfare as it runs in production. It starts processes of the
// fanfare binary behind nginx, with the configuration in deploy/. It uses a real
// Redis, NATS and Kafka, a browser, and publishers and clients that other people
// wrote. It has tests only.
//
// The binary is built once per run, with the race detector if the tests have it. A
// data race or a panic in any node's log fails the test. Every process listens on
// a free port of 127.0.0.1, has a directory of its own, and is gone when its test
// ends. If a program is not installed (see scripts/tools), the tests that need it
// are skipped.
package e2e
