package seam

// route is one of Seam's that this project calls.
type route int

const (
	getClientSession route = iota
	getOrCreateClientSession
	deleteClientSession
	getWorkspace
	listEvents
	routes
)

func (r route) path() string {
	return [routes]string{
		"/client_sessions/get", "/client_sessions/get_or_create", "/client_sessions/delete", "/workspaces/get", "/events/list",
	}[r]
}

// identifies says whether a 401 can only mean that Seam does not know the credential: any that this project uses may read.
func (r route) identifies() bool { return r == getClientSession || r == getWorkspace }

// changes says whether a call may change something at Seam, so that it must not be sent twice.
func (r route) changes() bool { return r == getOrCreateClientSession || r == deleteClientSession }

func (r route) adviceFor400() string {
	switch r {
	case getOrCreateClientSession:
		return "check the user identifier key, the lifetime, and the IDs of what the client session may see"
	case getWorkspace, listEvents:
		return checkEndpoint
	}
	return "check the client session ID or user identifier key that is asked for"
}

func (r route) adviceFor403() string {
	switch r {
	case getOrCreateClientSession:
		return "the credential may not make or extend client sessions: check what it may do"
	case deleteClientSession:
		return "the credential may not delete client sessions: check what it may do"
	case listEvents:
		return "the credential may not list events: check what it may do"
	}
	return "check what the credential may do"
}

// request is what is sent to a route.
type request struct {
	fields map[string]any // of the JSON body
	secret string         // what of it must not be shown, or empty
}
