// Package dsn reads the URLs that name a bus: lists of servers, parameters and
// TLS; and hides what is secret in them.
package dsn
