// Package sim runs whole nodes in synthetic time, on a bus and a network that
// fail as a seed says, and holds what each client got against what was on the
// bus.
//
// A world has a bus with a log (or one that loses), nodes that are
// fanfare.Gateways as anybody makes them, clients that speak fanfare.v1.json
// over connections in memory, and publishers. Chance cuts connections,
// interrupts feeds, takes the bus down, trims or forgets the log, crashes and
// restarts nodes, lets clients read slowly or be silent for long, and
// steps the log's clock. When all is healed, the checker, which shares no code with
// what it checks, decides for each client: nothing is missing that no gap
// covers, nothing came twice, everything came in the order of the bus, and
// nothing came that was not for it. What publishers were told was accepted is on
// the bus.
//
// Some worlds move to another bus meanwhile, as docs/moving.md says, with a
// bridge that dies, nodes and publishers that follow one by one, and services
// that publish over HTTP, whose order stays. The order of the bus is then the old
// one's up to the mark, and the new one's behind the mark's copy.
//
// Worlds of control planes ([RunControl]) need no synthetic time: they run the machines of
// package control, which have no clock. Nodes crash, are stopped and cut off, their clocks
// step, and messages are lost, repeated, late, and said again by others. Facts are followed
// at each step: none is lost, comes back, or outlives its end by more than the bus needs. In
// the end all nodes know the same nodes, users and facts, these are the true ones, and the
// last event of each user and room is true.
package sim
