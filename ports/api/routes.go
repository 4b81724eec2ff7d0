package api

import "github.com/fanfarebus/fanfare/domain/control"

// waits are the parameters of commands.
var waits = []string{"wait"}

// routes are those of the control plane, in the order of the documentation.
var routes = []route{
	{
		method: "POST", path: "/v1/users/{user}/disconnect", scope: "admin",
		query: waits, bytes: smallObject, serve: disconnectUser,
		about: about{
			id: "disconnectUser", tag: tagWho,
			summary: "Disconnect a user",
			text: "Closes the sessions that the user has on all nodes, with close code 4009. " +
				"Clients come back by themselves, unless reconnect is false; use a block to keep a user out.",
			fields:  []string{"reason", "code", "reconnect"},
			example: map[string]any{"reason": "you logged out", "reconnect": false},
		},
	},
	{
		method: "PUT", path: "/v1/users/{user}/block", scope: "admin",
		query: waits, bytes: smallObject, serve: blockUser,
		about: about{
			id: "blockUser", tag: tagWho,
			summary: "Block a user",
			text: "Closes the user's sessions with close code 4003, and refuses new ones with 403, " +
				"on all nodes, until the block ends. A second block replaces the first.",
			fields:  []string{"reason", "ttl"},
			example: map[string]any{"reason": "spam", "ttl": 3600},
		},
	},
	{
		method: "DELETE", path: "/v1/users/{user}/block", scope: "admin",
		query: waits, bytes: smallObject, serve: unblockUser,
		about: about{
			id: "unblockUser", tag: tagWho, summary: "Unblock a user",
			text: "That the user was not blocked is no error.",
		},
	},
	{
		method: "GET", path: "/v1/users/{user}/block", scope: "admin",
		bytes: smallObject, serve: getBlock,
		about: about{
			id: "getBlock", tag: tagWho, summary: "Is a user blocked?",
			answer: block{true, "spam", exampleTime},
		},
	},
	{
		method: "GET", path: "/v1/users/{user}/sessions", scope: "admin", alone: true,
		bytes: smallObject, serve: listSessions,
		about: about{
			id: "listSessions", tag: tagWho, summary: "List the sessions of a user",
			text: "Asks all nodes which sessions the user has, and how each of them is. Nodes that do not " +
				"answer within 5 s are named.",
			answer: sessionList{
				User: "alice", fullness: fullness{Complete: true},
				Sessions: []control.SessionInfo{{
					ID: exampleID, Node: "n2", Port: "ws", Address: "203.0.113.7", Connected: exampleTime,
					Systems: []control.SystemState{{
						System: "chat", State: "live", Cursor: exampleCursor, Rooms: []string{"lobby"},
					}},
				}},
			},
		},
	},
	{
		method: "POST", path: "/v1/sessions/{id}/disconnect", scope: "admin",
		query: waits, bytes: smallObject, serve: disconnectSession,
		about: about{
			id: "disconnectSession", tag: tagWho, summary: "Disconnect one session",
			text:    "As for a user. That no node has such a session is no error.",
			fields:  []string{"reason", "code", "reconnect"},
			example: map[string]any{"reason": "this device was removed", "code": 4100, "reconnect": false},
		},
	},
	{
		method: "POST", path: "/v1/tokens/revoke", scope: "admin",
		query: waits, bytes: smallObject, serve: revoke,
		about: about{
			id: "revokeTokens", tag: tagWho, summary: "Revoke tokens",
			text: "Either the token with a jti, or those of a user that were issued before a time. " +
				"Their sessions are closed with close code 4001, and the tokens are refused with 401. " +
				"A token without iat was issued before any time.",
			fields:  []string{"jti", "user", "issued_before", "ttl"},
			example: map[string]any{"user": "alice", "issued_before": "2026-11-30T13:25:00Z", "ttl": 86400},
		},
	},
	{
		method: "PUT", path: memberPath, scope: "members",
		query: waits, bytes: smallObject, serve: addMember,
		about: about{
			id: "addMember", tag: tagMembers, summary: "Put a user into a room",
			text: "All sessions of the user that are attached to the system, present and future, are in " +
				"the room, until the membership ends. Clients are told joined and left.",
			fields: []string{"ttl"}, example: map[string]any{"ttl": 86400},
		},
	},
	{
		method: "DELETE", path: memberPath, scope: "members",
		query: waits, bytes: smallObject, serve: removeMember,
		about: about{
			id: "removeMember", tag: tagMembers, summary: "Take a user out of a room",
			text: "It ends the membership at once. A session that joined the room by itself stays in. " +
				"That the user was no member is no error.",
		},
	},
	{
		method: "GET", path: memberPath, scope: "members",
		bytes: smallObject, serve: getMember,
		about: about{
			id: "getMember", tag: tagMembers, summary: "Is a user a member of a room?",
			answer: isMember{true, exampleTime},
		},
	},
	{
		method: "GET", path: "/v1/systems/{system}/rooms/{room}/members", scope: "members",
		query: []string{"after", "limit"}, bytes: smallObject, serve: listMembers,
		about: about{
			id: "listMembers", tag: tagMembers, summary: "List the members of a room",
			text:   "Those whom the server has put into it, sorted by name.",
			answer: memberList{[]member{{"alice", exampleTime}}, "alice"},
		},
	},
	{
		method: "GET", path: "/v1/systems/{system}/presence", scope: "presence",
		query: []string{"room", "user", "after", "limit"}, bytes: smallObject, serve: getPresence,
		about: about{
			id: "getPresence", tag: tagPresence, summary: "Who is there?",
			text: "The users in a room or, without room, all who are attached to the system, sorted by " +
				"name. A user is present once, however many sessions there are, and for presence.grace " +
				"after the last one has ended.",
			answer: presence{
				System: "chat", Room: "lobby", Count: new(12), Next: "alice", AsOf: exampleTime,
				Users: presentOf([]control.Present{examplePresent}), Complete: true,
			},
		},
	},
	{
		method: "POST", path: "/v1/systems/{system}/presence", scope: "presence",
		bytes: usersObject, serve: findPresent,
		about: about{
			id: "findPresent", tag: tagPresence, summary: "Which of these users are there?",
			text:   "Answers those of the users who are in the room or, without room, attached to the system.",
			fields: []string{"room", "users"}, required: []string{"users"},
			example: map[string]any{"room": "lobby", "users": []string{"alice", "bob"}},
			answer: presence{
				System: "chat", Room: "lobby", AsOf: exampleTime,
				Users: presentOf([]control.Present{examplePresent}), Complete: true,
			},
		},
	},
	{
		method: "GET", path: "/v1/nodes", scope: "admin",
		bytes: smallObject, serve: listNodes,
		about: about{
			id: "listNodes", tag: tagNodes, summary: "List the live nodes",
			text: "As the node that answers knows them.",
			answer: nodeList{[]nodeInfo{{
				Name: "n2", Incarnation: exampleID, Version: "0.1.0", Sessions: 1200, Users: 800,
				Systems: []string{"chat", "orders"}, LagMS: 3, HeardMS: 1800, ClockAheadMS: -12, InStep: true,
			}}},
		},
	},
	{
		method: "POST", path: rebalancePath, scope: "admin",
		query: waits, bytes: smallObject, serve: rebalance,
		about: about{
			id: "rebalanceNode", tag: tagNodes, summary: "Move sessions off a node",
			text: "Asks clients that are connected to the node to connect elsewhere, one after the other. Each " +
				"has its new session before the old one ends. A second request for a node replaces the first.",
			fields: []string{"rate", "sessions"}, example: map[string]any{"rate": 50, "sessions": 1000},
		},
	},
	{
		method: "DELETE", path: rebalancePath, scope: "admin",
		query: waits, bytes: smallObject, serve: stopRebalance,
		about: about{
			id: "stopRebalance", tag: tagNodes, summary: "Move no more sessions off a node",
			text: "Sessions that were asked to go still go. That no session was is no error.",
		},
	},
}

const rebalancePath = "/v1/nodes/{node}/rebalance"

const memberPath = "/v1/systems/{system}/rooms/{room}/members/{user}"
