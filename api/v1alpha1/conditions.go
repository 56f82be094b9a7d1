package v1alpha1

// Types of conditions.
const (
	// ConditionReady is True while a usable token is in the Secret: written for this spec, and not expired.
	ConditionReady = "Ready"
	// ConditionSynced is True if the last attempt to bring the Secret up to date worked, Unknown while suspended.
	ConditionSynced = "Synced"
	// ConditionExpiring is True while the session is within renewBefore of its end and its owner has not extended it.
	// It is absent otherwise.
	ConditionExpiring = "Expiring"
	// ConditionStalled is True while only a change of this object can help, with the reason of Synced. It is absent
	// otherwise, as kstatus has it.
	ConditionStalled = "Stalled"

	// ConditionEventsPolled of a SeamWorkspace is True if Seam's events could be read last, False if not. It is absent where
	// they are not to be read.
	ConditionEventsPolled = "EventsPolled"
	// ConditionGrantsApplied of a SeamWorkspace is False while some of its grants are without effect. It is absent otherwise.
	ConditionGrantsApplied = "GrantsApplied"
)

// Reasons of conditions. Those of Synced are also reasons of Ready where nothing usable is in the Secret.
const (
	// ReasonTokenAvailable surfaces on Ready while the token in the Secret can be used.
	ReasonTokenAvailable = "TokenAvailable"
	// ReasonPending surfaces on Ready and Synced before the first attempt.
	ReasonPending = "Pending"
	// ReasonSessionExpired surfaces on Ready from the second on at which the token ends.
	ReasonSessionExpired = "SessionExpired"
	// ReasonNotRenewed surfaces on Expiring: the session ends soon, and reading it does not extend it.
	ReasonNotRenewed = "NotRenewed"

	// ReasonFetched surfaces on Synced when Seam's last answer was good and the Secret holds what it should.
	ReasonFetched = "Fetched"
	// ReasonSuspended surfaces on Synced while spec.suspend is true.
	ReasonSuspended = "Suspended"
	// ReasonCredentialNotFound surfaces when a Secret that the spec refers to, or the key in it, is missing.
	ReasonCredentialNotFound = "CredentialNotFound"
	// ReasonCredentialInvalid surfaces when a Secret that the spec refers to holds a value that can't be used, such as a
	// publishable key, or is of a type that must not be sent to Seam.
	ReasonCredentialInvalid = "CredentialInvalid"
	// ReasonUnauthorized surfaces when Seam refuses the credential with 401 or 403.
	ReasonUnauthorized = "Unauthorized"
	// ReasonInvalidRequest surfaces when Seam answers 400: what is asked must change.
	ReasonInvalidRequest = "InvalidRequest"
	// ReasonSessionNotFound surfaces when Seam says that there is no such session in the credential's workspace.
	ReasonSessionNotFound = "SessionNotFound"
	// ReasonSessionMismatch surfaces when an answer is about another session, user or workspace than was asked.
	ReasonSessionMismatch = "SessionMismatch"
	// ReasonRateLimited surfaces when Seam answers 429, to this object or to one that shares its credential.
	ReasonRateLimited = "RateLimited"
	// ReasonSeamUnavailable surfaces when Seam can't be reached, or answers as something in between would.
	ReasonSeamUnavailable = "SeamUnavailable"
	// ReasonInvalidResponse surfaces when an answer can't be read, or lacks what every session has.
	ReasonInvalidResponse = "InvalidResponse"
	// ReasonTemplateInvalid surfaces when a template does not parse, names a field that does not exist, or fails.
	ReasonTemplateInvalid = "TemplateInvalid"
	// ReasonSecretConflict surfaces when the Secret belongs to somebody else, or somebody else keeps changing it.
	ReasonSecretConflict = "SecretConflict"
	// ReasonSecretWriteFailed surfaces when the API server refuses the Secret.
	ReasonSecretWriteFailed = "SecretWriteFailed"
	// ReasonNotGranted surfaces when no SeamWorkspace of the name that the spec gives lets this namespace use the session, be
	// it that there is none.
	ReasonNotGranted = "NotGranted"
	// ReasonWorkspaceNotReady surfaces when the credential of the SeamWorkspace can't be used. The SeamWorkspace says why.
	ReasonWorkspaceNotReady = "WorkspaceNotReady"
)

// Reasons of conditions of SeamWorkspaces, beside those above.
const (
	// ReasonCredentialAccepted surfaces on Ready while Seam takes the credential, and it is of the right workspace.
	ReasonCredentialAccepted = "CredentialAccepted"
	// ReasonWorkspaceMismatch surfaces on Ready when the credential is of another workspace than spec.workspaceID.
	ReasonWorkspaceMismatch = "WorkspaceMismatch"
	// ReasonPolled surfaces on EventsPolled when Seam's events could be read.
	ReasonPolled = "Polled"
	// ReasonSelectorsUnavailable surfaces on GrantsApplied where the operator is installed for some namespaces alone, so that
	// it can't see the labels of namespaces.
	ReasonSelectorsUnavailable = "SelectorsUnavailable"
)
