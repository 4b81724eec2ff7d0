// Package domain holds Fanfare's words: system, target, message, position,
// cursor, gap and grant, and the rules that make them valid.
//
// It knows no sockets, no brokers and no clock. Values are made by the Parse
// and New functions and are valid from then on; they are safe for concurrent
// use because nobody changes them.
package domain
