// Package socketio is an example of a move from Socket.IO with its Redis adapter to Fanfare.
// Its programs are in JavaScript: server.mjs is what is left behind, service.mjs and page.mjs
// are the application, which does not change, and fanfare.mjs is all the code that the move
// needs. docs/adopting.md explains the steps, and the test of this package takes them.
package socketio
