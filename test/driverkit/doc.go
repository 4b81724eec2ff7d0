// Package driverkit holds what the tests of the drivers have in common: opening
// a driver, following a topic, reading feeds, logs that can be searched,
// Watermill's suite and the benchmarks.
//
// What every driver must do is in test/conformance, which authors of other
// drivers use as well. This package only serves the tests in this repository.
package driverkit
