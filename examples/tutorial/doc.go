// Package tutorial is an example of a move to Fanfare. It begins with the server that
// tutorials on WebSockets end with: it holds the WebSockets of users, hears a Redis channel,
// and looks in each message for the user whom it is for. [Before] is that server. What is
// published while a user's connection is lost never reaches the user, a client that reads
// slowly loses messages without knowing, and each message costs a look at all WebSockets.
//
// [After] is a Fanfare node in its place. What surrounds the server stays as it is: the
// service that publishes ([Shop]), the login of the users ([Login]), and the page, which
// opens /ws and reads JSON from it. So the two can be swapped in production, and back.
// docs/adopting.md says how to go on from there.
package tutorial
