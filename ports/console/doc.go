// Package console serves the page at /console, on which operators see the nodes and what they
// do, find out where a user is, and act on it.
//
// The page is one document that loads nothing. It contains its style and script, and its
// content security policy names both by their hashes. It holds no secrets, so it is served to
// whoever asks: it asks for an API key with the scope admin, keeps it for as long as the tab is
// open, and uses the routes of the HTTP API as any other client does.
//
// The script, console.js, is built from src by `npm run build` in clients/js. It is committed,
// so that a node can be built with Go alone; TestTheScriptIsMadeOfItsSources fails if it is
// older than its sources.
package console
