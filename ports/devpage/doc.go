// Package devpage serves the page that a development node shows at /: a
// newcomer publishes, cuts devices off, and sees who receives what.
//
// The page is one document that loads nothing: style and script stand in it,
// and its content security policy names them by their hashes. It needs no more
// of the node than any client does: /ws and POST /v1/systems/{system}/messages.
//
// The script is page.js, which is made from src and from clients/js by
// `npm run build` in clients/js, and committed: a node is built with Go alone.
package devpage
