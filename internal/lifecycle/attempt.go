package lifecycle

import (
	"time"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
	"github.com/seam-session-operator/seam-session-operator/internal/secret"
)

// Observation is what is known of one session before anything is done.
type Observation struct {
	// Session is the newest copy that is known. It is read only.
	Session *v1alpha1.SeamClientSession
	// Secret is what the Secret that the spec names says of itself.
	Secret secret.State
	// ReferenceChanged says that a Secret which the session refers to may have changed since the last attempt failed.
	ReferenceChanged bool
	// Ungranted says that the session names a SeamWorkspace, and there is none of that name which lets its namespace use it.
	Ungranted bool
	// Deletion is what Seam's events say of the client session of the status.
	Deletion Deletion
	// Wish is what Seam is to be asked to make of the session, as it was just fetched; nil if nothing is, or too long ago.
	Wish *Wish
	// Drift is how often the Secret was corrected lately.
	Drift Drift
	// UnsavedCall is when Seam was last called, if the API server did not take a status that says so; else zero.
	UnsavedCall time.Time
}

// Deletion is what Seam's events say of a client session.
type Deletion int

const (
	// NotDeleted means that no event says that it was deleted.
	NotDeleted Deletion = iota
	// DeletionHeard means that one does, and the session was not fetched since.
	DeletionHeard
	// DeletionTried means that one does, and the session was fetched since, or could not be.
	DeletionTried
)

// Attempt is what was decided about a session and what came of it, step by step. No step changes what an earlier one said.
type Attempt struct {
	Decision Decision
	Fetch    Fetch
	Applied  Applied
	// Wish is what Seam is to be asked next to make of the session that was fetched; nil if nothing is.
	Wish *Wish
}

// Progress is how far fetching a session came.
type Progress int

const (
	// NotTried means that nothing was due, or this process is ending.
	NotTried Progress = iota
	// Queued means that no call was free. The session is enqueued when one is.
	Queued
	// Prevented means that something stood in the way of a call to Seam.
	Prevented
	// Failed means that Seam was called and gave no good answer.
	Failed
	// Answered means that Seam gave a good answer. It may be about a session that has ended.
	Answered
	// TooLate means that Seam answered after so long that another replica may have taken over, and have a newer answer; or that the
	// session is not granted any more.
	TooLate
)

// Fetch is what came of fetching a session from Seam.
type Fetch struct {
	Progress Progress
	// Problem is why there is no good answer: with Prevented and Failed.
	Problem *Problem
	// Answer is Seam's: with Answered. Its token goes into the Secret and nowhere else.
	Answer *seam.ClientSession
	// Fingerprint tells the request from others: with Failed and Answered.
	Fingerprint string
	// At is when the call ended, in whole seconds and rounded up: with Failed, Answered and TooLate, and where Provided was tried by a call.
	At time.Time
	// SeamTime is when Seam answered, by its own clock; zero if it did not say.
	SeamTime time.Time
	// Versions are those of the Secrets that were read for the request, by name; empty for one that is missing.
	Versions map[string]string
	// LookAgain is when to look again at the latest; zero where the status alone says.
	LookAgain time.Time
	// Provided is what came of asking Seam to make or extend the session. Where that has a good answer it is the one above.
	Provided Provided
}

// Provided is what came of asking Seam to make or extend a session.
type Provided struct {
	// Tried says whether it was asked, or is not to be asked for a while. If not, nothing else is set.
	Tried bool
	// Creating says that there was no session before, or one that had ended.
	Creating bool
	// SeamTime is when Seam answered, by its own clock as far as that is known.
	SeamTime time.Time
	// Until is the end that it granted; nil if it gave none.
	Until *time.Time
	// Problem is why it did not.
	Problem *Problem
}

// Called says whether Seam was called.
func (f Fetch) Called() bool {
	return f.Progress == Failed || f.Progress == Answered || f.Progress == TooLate
}

// CalledAt is when the last call to Seam ended, whatever it asked for; zero if there was none.
func (f Fetch) CalledAt() time.Time {
	if f.Called() || f.Provided.Tried {
		return f.At
	}
	return time.Time{}
}

// Effect is what was done to the Secret.
type Effect int

const (
	// Untouched means that it is as it was.
	Untouched Effect = iota
	// Written means that it was created or updated.
	Written
	// Restored means that labels, annotations or owner references that somebody changed are as they were; the data was not touched.
	Restored
	// Removed means that it was deleted, because its session ended.
	Removed
	// Overtaken means that it, or the object, turned out to be newer than what was seen, so that nothing was done.
	Overtaken
	// Orphaned means that the object turned out to be gone, so that nothing was done and nothing is to be said.
	Orphaned
)

// Applied is what became of the Secret.
type Applied struct {
	Verdict Verdict
	Effect  Effect
	// Secret is what the Secret says of itself now.
	Secret secret.State
	// Problem is why the verdict could not be carried out.
	Problem *Problem
	// LookAgain is when to look again at the latest; zero where the status alone says.
	LookAgain time.Time
}

// Problem is what stands in the way of the session, or nil.
func (a Attempt) Problem() *Problem {
	switch {
	case a.Applied.Problem != nil:
		return a.Applied.Problem
	case a.Fetch.Problem != nil:
		return a.Fetch.Problem
	}
	return a.Decision.Problem
}

// Repaired says whether the Secret was corrected because somebody else had changed or deleted it.
func (a Attempt) Repaired() bool {
	return a.Applied.Effect == Restored || a.Decision.Action == Correcting && a.Applied.Effect == Written
}

// Inconclusive says whether the attempt ended before it said anything about the session: something was due and is still.
func (a Attempt) Inconclusive() bool {
	if a.Wish != nil && a.Wish.Quiet {
		return true
	}
	return a.Decision.Action == Defer || a.Fetch.Progress == Queued || a.Fetch.Progress == TooLate || a.Applied.Effect == Overtaken
}
