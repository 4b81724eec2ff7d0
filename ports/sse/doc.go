// Package sse drives the domain over Server-Sent Events: the same sessions and
// the same ops as fanfare.v1.json over WebSocket, to clients that only listen.
//
// Each event's data is one op. What it promises:
//
//   - Order: events leave in the order in which they were offered; hello comes
//     first.
//   - The id of an event is the resume string of all of the session's systems
//     as it is once the event has been received, so that an EventSource resumes
//     by itself, with nothing lost or repeated. It moves only with what was
//     written before it. A session that hears nothing gets, now and then, an
//     event with an id and no data: it is not dispatched, but its id is kept.
//     Clients that make an EventSource anew each time do not see that, and ask
//     for cursor ops with ?cursors=1.
//   - One goroutine per session, the request's, and one write in flight. What
//     gathers meanwhile leaves together.
//   - Bounds: an outbox is bounded in bytes and frames. When it is full the
//     session falls back to catching up; nothing that was offered is lost. If
//     its writes make no progress for Config.Stall it is ended.
//   - The end of a stream is told: goaway when the node drains, else close with
//     a code. An EventSource comes back by itself, so where it must not (the
//     session was disconnected, or gave way to a newer one) the last id is
//     marked, and who comes back with the mark is answered 204: the standard's
//     way to say stop. Any other status stops it, too.
//
// A proxy that holds back what it passes on can not be seen from here. A client
// sees it: hello is sent at once, so one that has none a few seconds after the
// answer began, or after its request, is behind such a proxy. With ?pad=1 hello
// is followed by 2 KiB of a comment, which is enough for those that wait for a
// block; nothing helps against those that wait for the end. The answer asks for
// what is customary: X-Accel-Buffering: no, and no transformation, since
// compression holds back, too.
package sse
