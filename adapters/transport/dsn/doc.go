// Package dsn reads the URLs that name a bus, such as
//
//	redis-streams://user:password@a:6379/0?retention=6h&tls=true
//	nats://a:4222,nats://b:4222
//
// A driver's opener gets a [net/url.URL] that [Parse] has read, and asks [Params]
// for each parameter that it knows:
//
//	params := dsn.NewParams(u)
//	retention := params.Duration("retention", time.Hour, time.Second)
//	encrypt := params.TLS()
//	if err := params.Err(); err != nil {
//		return nil, err
//	}
//
// # Faults
//
// Parameters are checked all at once, and [Params.Err] names every fault, among
// them each parameter that nobody asked for, with the list of those there are.
//
// # Secrets
//
// No error and no log line shows a secret. [Parse] shows nothing of a URL that it
// cannot read. [Redact] hides the secrets of a URL or a list of servers;
// [RedactError] hides those of a URL wherever they stand in the text of an error.
// Where it is not clear what is secret, more is hidden.
package dsn
