package controller

import (
	"errors"
	"fmt"
	"time"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
)

// kind says what can help against a problem. There are three, and no more.
type kind int

const (
	// transient: nobody need do anything; it is tried again with a growing pause.
	transient kind = iota
	// waiting: something other than this object must change, or a time must come.
	waiting
	// blocked: only a change of this object can help.
	blocked
)

// problem is why a session could not be brought up to date. Its message goes into a condition: it says what to do, is
// the same on every try, and holds nothing that is secret or that Seam wrote freely.
type problem struct {
	kind            kind
	reason, message string
	// until is when a waiting one is tried again; zero if that depends on a change.
	until time.Time
	// gone says that Seam has no such session, on the word of the credential that last succeeded.
	gone bool
	// cures are the Secrets, of those that the session refers to and that were read for it, of which a change may help.
	cures []string
	// requestID is Seam's, for events and logs.
	requestID string
	// cause is the API server's refusal to give a Secret, for the log; nil otherwise. It holds nothing of the Secret.
	cause error
}

func (p *problem) Error() string { return p.message }

// seamProblem turns Seam's refusal, or what happened on the way, into a problem. proven says that the credential is the
// one that last succeeded.
func seamProblem(session *v1alpha1.SeamClientSession, err *seam.Error, proven bool) *problem {
	p := &problem{message: err.Error(), requestID: err.RequestID}
	from := fmt.Sprintf("the credential in Secret %q", session.Spec.CredentialSecretRef.Name)
	switch err.Kind {
	case seam.Unauthorized:
		p.kind, p.reason, p.cures = waiting, v1alpha1.ReasonUnauthorized, references(session)
		p.message = fmt.Sprintf("Seam refuses %s: %s; put a valid one there, it is noticed within seconds; "+
			"this one is tried again once a minute", from, err)
	case seam.Forbidden:
		p.reason, p.cures = v1alpha1.ReasonUnauthorized, references(session)
		p.message = fmt.Sprintf("Seam does not let %s read this session: %s", from, err)
	case seam.NotFound:
		p.reason, p.gone = v1alpha1.ReasonSessionNotFound, proven
		p.message = "Seam has no such client session any more: create it at Seam, or select another one"
		if !proven {
			p.cures = references(session)
			p.message = fmt.Sprintf("Seam has no client session of this %s in the workspace of %s: "+
				"create it at Seam, correct the field, or use a credential of the session's workspace", selectorField(session), from)
		}
	case seam.Mismatch:
		p.reason, p.cures = v1alpha1.ReasonSessionMismatch, references(session)
	case seam.InvalidRequest:
		p.kind, p.reason = blocked, v1alpha1.ReasonInvalidRequest
	case seam.RateLimited:
		p.kind, p.reason = transient, v1alpha1.ReasonRateLimited
	case seam.InvalidResponse:
		p.reason = v1alpha1.ReasonInvalidResponse
	default:
		p.reason = v1alpha1.ReasonSeamUnavailable
		if err.StatusCode == 0 {
			p.message += "; it is asked again by itself. If this lasts, see whether Seam is down, and whether network policies and the " +
				"proxy let the operator out to it"
		}
	}
	return p
}

// selectorField is the field that selects the client session.
func selectorField(session *v1alpha1.SeamClientSession) string {
	switch {
	case session.Spec.ClientSessionID != "":
		return "spec.clientSessionID"
	case session.Spec.UserIdentifierKeySecretRef != nil:
		return "spec.userIdentifierKeySecretRef"
	}
	return "spec.userIdentifierKey"
}

// heldProblem is the problem of a session that was not asked for, because others who share its credential were refused.
func heldProblem(session *v1alpha1.SeamClientSession, held *seam.HeldError) *problem {
	p := seamProblem(session, held.Cause, false)
	p.kind, p.until, p.requestID = waiting, notBefore(held.Until), ""
	if p.reason == v1alpha1.ReasonUnauthorized {
		p.until = time.Time{} // the probe's time changes every minute, and would change the status with it
	}
	return p
}

// heldBack returns how the session is held back, or nil.
func heldBack(err error) *seam.HeldError {
	var held *seam.HeldError
	if errors.As(err, &held) {
		return held
	}
	return nil
}
