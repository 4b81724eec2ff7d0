// Package devpage serves the page that a node in development shows at /. On it, a newcomer
// publishes messages, cuts devices off, and sees which of them receives what.
//
// The page is one document that loads nothing. It contains its style and script, and its
// content security policy names both by their hashes. It uses what any client can use:
// /ws, /sse and POST /v1/systems/{system}/messages.
//
// The script, page.js, is built from src and from clients/js by `npm run build` in
// clients/js. It is committed, so that a node can be built with Go alone;
// TestTheScriptIsMadeOfItsSources fails if it is older than its sources.
package devpage
