package lifecycle

import (
	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/schedule"
)

// Kind says what can help against a problem. There are three, and no more.
type Kind int

const (
	// Transient means that nobody need do anything; it is retried with a growing pause.
	Transient Kind = iota
	// Waiting means that something other than this object must change, or a time must come.
	Waiting
	// Blocked means that only a change of this object can help.
	Blocked
)

// Cure is where a change may help.
type Cure int

const (
	// NoCure means that nothing that the operator could notice helps; time does.
	NoCure Cure = iota
	// CuredByReference means that a change of a Secret that the spec refers to. They are watched while the problem lasts.
	CuredByReference
	// CuredBySpec means that a change of this object.
	CuredBySpec
	// CuredBySecret means that a change of the Secret that is to be written.
	CuredBySecret
	// CuredByWorkspace means that a change of the SeamWorkspace that the spec refers to, of which the watch over them tells.
	CuredByWorkspace
)

// Cause is what is wrong. Several share a reason where users need not tell them apart.
type Cause int

// What can be wrong. Causes says what each means.
const (
	// CredentialMissing means that a Secret that the spec refers to, or the key in it, is not there.
	CredentialMissing Cause = iota
	// CredentialUnreadable means that the API server does not give such a Secret.
	CredentialUnreadable
	// CredentialUnusable means that it holds what must not, or can't, be sent to Seam.
	CredentialUnusable
	// CredentialRefused means that Seam answered 401.
	CredentialRefused
	// CredentialForbidden means that Seam answered 403.
	CredentialForbidden
	// UserKeyRefused means that Seam answered 400 to a user identifier key that came from a Secret.
	UserKeyRefused
	// RequestInvalid means that Seam answered 400, or the selector of the spec can't be sent.
	RequestInvalid
	// SessionMissing means that Seam has no such session, and did not have it for this very request before.
	SessionMissing
	// SessionGone means that Seam has no such session any more: the same request had a good answer before.
	SessionGone
	// SessionOther means that the answer is about another session, user or workspace.
	SessionOther
	// SessionConflict means that Seam has a session of the user that it neither returns nor extends.
	SessionConflict
	// TooManyRequests means that Seam answered 429.
	TooManyRequests
	// SeamDown means that Seam can't be reached or can't answer.
	SeamDown
	// AnswerInvalid means that the answer is not one of Seam's, or lacks what every session has.
	AnswerInvalid
	// TemplateWrong means that a template can't be used.
	TemplateWrong
	// SecretForeign means that the Secret is somebody else's.
	SecretForeign
	// SecretUnchangeable means that Kubernetes lets nobody change the Secret as the spec asks.
	SecretUnchangeable
	// SecretContested means that somebody else keeps changing the Secret.
	SecretContested
	// SecretRefused means that the API server does not take the Secret.
	SecretRefused
	// SecretInvalid means that the API server finds the Secret invalid.
	SecretInvalid
	// FormerSecretRefused means that the API server does not let a former Secret be deleted.
	FormerSecretRefused
	// WorkspaceUngranted means that no SeamWorkspace of that name lets the namespace use the session, be it that there is none.
	WorkspaceUngranted
	// WorkspaceUnready means that the credential of the SeamWorkspace can't be used now.
	WorkspaceUnready
	// WorkspaceOther means that the credential of a SeamWorkspace is of another workspace than its spec says.
	WorkspaceOther
)

// Row is what one cause means for everything that depends on it.
type Row struct {
	// Reason is that of Synced, and of Ready where no usable token is in the Secret.
	Reason string
	// Kind says what can help. Only what is Blocked shows in Stalled.
	Kind Kind
	// Schedule is how the schedule paces the next attempt. It is read back from the status by the reason alone, so all causes
	// of a reason share it.
	Schedule schedule.Result
	// Unscheduled means that no time is set for the next attempt, since only a change can help. It is made whenever the object is looked
	// at, and ends before Seam is called while nothing has changed.
	Unscheduled bool
	// Cure is where a change may help.
	Cure Cure
}

// Causes is the one table of what can be wrong. What to do when Seam answers 403 is changed here, at CredentialForbidden.
var Causes = map[Cause]Row{
	CredentialMissing:    {v1alpha1.ReasonCredentialNotFound, Waiting, schedule.Transient, true, CuredByReference},
	CredentialUnreadable: {v1alpha1.ReasonCredentialNotFound, Waiting, schedule.Transient, true, CuredByReference},
	CredentialUnusable:   {v1alpha1.ReasonCredentialInvalid, Waiting, schedule.Blocked, true, CuredByReference},
	CredentialRefused:    {v1alpha1.ReasonUnauthorized, Waiting, schedule.Transient, true, CuredByReference},
	CredentialForbidden:  {v1alpha1.ReasonUnauthorized, Transient, schedule.Transient, false, CuredByReference},
	UserKeyRefused:       {v1alpha1.ReasonCredentialInvalid, Waiting, schedule.Blocked, false, CuredByReference},
	RequestInvalid:       {v1alpha1.ReasonInvalidRequest, Blocked, schedule.Blocked, false, CuredBySpec},
	SessionMissing:       {v1alpha1.ReasonSessionNotFound, Transient, schedule.NotFound, false, CuredByReference},
	SessionGone:          {v1alpha1.ReasonSessionNotFound, Transient, schedule.NotFound, false, CuredByReference},
	SessionOther:         {v1alpha1.ReasonSessionMismatch, Transient, schedule.Transient, false, CuredByReference},
	SessionConflict:      {v1alpha1.ReasonSessionMismatch, Transient, schedule.Transient, false, CuredByReference},
	TooManyRequests:      {v1alpha1.ReasonRateLimited, Transient, schedule.RateLimited, false, NoCure},
	SeamDown:             {v1alpha1.ReasonSeamUnavailable, Transient, schedule.Transient, false, NoCure},
	AnswerInvalid:        {v1alpha1.ReasonInvalidResponse, Transient, schedule.Transient, false, NoCure},
	TemplateWrong:        {v1alpha1.ReasonTemplateInvalid, Blocked, schedule.Blocked, true, CuredBySpec},
	SecretForeign:        {v1alpha1.ReasonSecretConflict, Waiting, schedule.Transient, true, CuredBySecret},
	SecretUnchangeable:   {v1alpha1.ReasonSecretConflict, Transient, schedule.Transient, false, CuredBySecret},
	SecretContested:      {v1alpha1.ReasonSecretConflict, Waiting, schedule.Transient, false, CuredBySecret},
	SecretRefused:        {v1alpha1.ReasonSecretWriteFailed, Transient, schedule.Transient, false, NoCure},
	SecretInvalid:        {v1alpha1.ReasonSecretWriteFailed, Blocked, schedule.Transient, false, CuredBySpec},
	FormerSecretRefused:  {v1alpha1.ReasonSecretWriteFailed, Transient, schedule.Transient, false, NoCure},
	WorkspaceUngranted:   {v1alpha1.ReasonNotGranted, Waiting, schedule.Transient, true, CuredByWorkspace},
	WorkspaceOther:       {v1alpha1.ReasonWorkspaceMismatch, Waiting, schedule.Transient, false, CuredByReference},
	WorkspaceUnready:     {v1alpha1.ReasonWorkspaceNotReady, Waiting, schedule.Transient, true, CuredByWorkspace},
}

// Conditions says in which condition each reason shows that is no problem. Those of Causes show in Synced, and in Ready where
// no usable token is in the Secret.
var Conditions = map[string]string{
	v1alpha1.ReasonTokenAvailable: v1alpha1.ConditionReady,
	v1alpha1.ReasonPending:        v1alpha1.ConditionReady,
	v1alpha1.ReasonSessionExpired: v1alpha1.ConditionReady,
	v1alpha1.ReasonNotRenewed:     v1alpha1.ConditionExpiring,
	v1alpha1.ReasonFetched:        v1alpha1.ConditionSynced,
	v1alpha1.ReasonSuspended:      v1alpha1.ConditionSynced,

	v1alpha1.ReasonCredentialAccepted:   v1alpha1.ConditionReady,
	v1alpha1.ReasonPolled:               v1alpha1.ConditionEventsPolled,
	v1alpha1.ReasonSelectorsUnavailable: v1alpha1.ConditionGrantsApplied,
}

// byReason finds what a stored reason means. Its causes share schedule and cure, but not whether a time was set: that, the
// status itself says.
var byReason = func() map[string]Row {
	rows := map[string]Row{}
	for _, row := range Causes {
		row.Unscheduled = row.Unscheduled || rows[row.Reason].Unscheduled
		rows[row.Reason] = row
	}
	return rows
}()
