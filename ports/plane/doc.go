// Package plane is a node's part in the control plane: who is there, and who must go. It
// gives a [control.Machine] a clock, a topic on the bus and hands: package
// domain/control says what is said on that topic and what follows from it.
//
// # What a Plane does
//
//   - It reads the control topic and gives the machine what comes. On a bus with a log it
//     begins in the past, since facts that nobody has said for a while are there.
//   - It publishes what the machine has to say, at most once in [Config].Interval, one
//     message at a time. What gathers meanwhile is in one message.
//   - It does to the node's sessions what facts demand, before other nodes are told that it
//     was done ([Node]), and tells sessions once a second who came and went.
//   - It asks all nodes what each knows, and answers what others ask ([Plane.Ask]).
//   - It publishes events about users for business services, in order, one batch at a time.
//
// # When something fails
//
// The control plane never takes a node down. A topic that cannot be read or written, for
// example because the bus does not allow it, is logged once, shown in the metrics and in
// [Plane.Trouble], and tried again. A node waits for the facts before it is ready, but no
// longer than [Config].ReadyWithin. Input never causes a panic: should the machine have
// one, the message is counted and passed over.
//
// # Goroutines
//
// [Plane.Run] starts all goroutines, and returns when they have ended. All other methods
// may be called from any goroutine at any time, before and after Run, too. None waits for
// the bus but [Plane.Command] and [Plane.Ask].
package plane
