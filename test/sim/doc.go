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
// nothing came that was not for it.
package sim
