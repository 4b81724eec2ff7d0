package control

// A source is an incarnation of a node, as the Machine numbers them. 0 is this node.
type source uint32

// A cause is the message with which a change came: own changes have the number of the
// message that is going to tell of them. The ids of events are made from it, so that all
// nodes that saw the message give an event the same id.
type cause struct {
	inc string
	seq uint64
}

// A row says how many sessions a user has in a place on one node. 0 means that the row
// is gone.
type row struct {
	place Place
	user  string
	n     int
}
