package lifecycle

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
	"github.com/seam-session-operator/seam-session-operator/internal/secret"
)

// Problem is why a session could not be brought up to date.
type Problem struct {
	Cause Cause
	// Message goes into a condition: it says what to do, is the same on every try, and holds nothing that is secret or that
	// Seam wrote freely.
	Message string
	// Until is when it is tried again whatever the schedule says; zero if that says.
	Until time.Time
	// RequestID is Seam's, for events and logs.
	RequestID string
	// Detail is the API server's refusal to give a Secret, for the log; nil otherwise. It holds nothing of the Secret.
	Detail error
}

// Error is the message.
func (p *Problem) Error() string { return p.Message }

// Row is what the problem means, from the table of causes.
func (p *Problem) Row() Row { return Causes[p.Cause] }

// goneMessage says in Ready that a session is proven to be gone. It is also how a later look recognises that.
const goneMessage = "Seam has no such client session any more: create it at Seam, or select another one"

// remadeMessage is the same where the operator makes it again.
const remadeMessage = "Seam has no such client session any more: it is made again, with a pause that grows each time"

func goneMessageFor(session *v1alpha1.SeamClientSession) string {
	if session.Spec.Provision != nil {
		return remadeMessage
	}
	return goneMessage
}

// seamCauses says what each kind of answer is a cause of.
var seamCauses = map[seam.Kind]Cause{
	seam.Unavailable:     SeamDown,
	seam.Unauthorized:    CredentialRefused,
	seam.Forbidden:       CredentialForbidden,
	seam.NotFound:        SessionMissing,
	seam.InvalidRequest:  RequestInvalid,
	seam.RateLimited:     TooManyRequests,
	seam.InvalidResponse: AnswerInvalid,
	seam.Mismatch:        SessionOther,
	seam.Conflict:        SessionConflict,
}

// SeamProblem turns Seam's refusal, or what happened on the way, into a problem. sameRequest says that this very request had
// a good answer before.
func SeamProblem(session *v1alpha1.SeamClientSession, err *seam.Error, sameRequest bool, now time.Time) *Problem {
	p := &Problem{Cause: seamCauses[err.Kind], Message: err.Error(), RequestID: err.RequestID}
	if err.RetryAfter > 0 {
		p.Until = RoundUp(now.Add(err.RetryAfter))
	}
	from := credentialOf(session)
	switch {
	case p.Cause == CredentialRefused && session.Spec.WorkspaceRef != nil:
		return UnreadyProblem(session)
	case p.Cause == CredentialRefused:
		p.Message = fmt.Sprintf("Seam refuses %s: %s; put a valid one there, it is noticed within seconds; "+
			"this one is tried again once a minute", from, err)
	case p.Cause == CredentialForbidden:
		p.Message = fmt.Sprintf("Seam does not let %s read this session: %s", from, err)
	case p.Cause == SessionMissing && sameRequest:
		p.Cause, p.Message = SessionGone, goneMessageFor(session)
	case p.Cause == SessionMissing:
		asked, correct := "this "+selectorField(session), "the field"
		if ref := session.Spec.UserIdentifierKeySecretRef; ref != nil {
			asked, correct = fmt.Sprintf("the user whose key is in key %q of Secret %q", ref.Key, ref.Name), "that key"
		}
		p.Message = fmt.Sprintf("Seam has no client session of %s in the workspace of %s: "+
			"create it at Seam, correct %s, or use a credential of the session's workspace", asked, from, correct)
	case p.Cause == RequestInvalid && session.Spec.UserIdentifierKeySecretRef != nil:
		p.Cause = UserKeyRefused
	case p.Cause == SeamDown && err.StatusCode == 0:
		p.Message += "; it is asked again by itself. If this lasts, see whether Seam is down, and whether network policies and the " +
			"proxy let the operator out to it"
	}
	return p
}

// ProvisionProblem turns Seam's refusal to make or extend a session into a problem. What it says is about spec.provision, since the
// session was fetched before.
func ProvisionProblem(session *v1alpha1.SeamClientSession, err *seam.Error, now time.Time) *Problem {
	p := SeamProblem(session, err, false, now)
	switch p.Cause {
	case CredentialRefused, WorkspaceUnready, CredentialForbidden: // the same credential was good enough to fetch the session
		p.Cause, p.RequestID = CredentialForbidden, err.RequestID
		p.Message = fmt.Sprintf("Seam does not let %s make or extend this session: %s; use one that may, or remove spec.provision", credentialOf(session), err)
	case UserKeyRefused, RequestInvalid:
		p.Cause, p.Message = RequestInvalid, fmt.Sprintf("Seam does not take spec.provision: %s", err)
	}
	return p
}

// HeldProvisionProblem is the problem of a session that was not made or extended, because others who share its credential were refused
// that.
func HeldProvisionProblem(session *v1alpha1.SeamClientSession, held *seam.HeldError) *Problem {
	p := ProvisionProblem(session, held.Cause, held.Until)
	p.RequestID, p.Until = "", RoundUp(held.Until)
	return p
}

// ElsewhereProblem is that of a session that would be made in another workspace than it was in, or is to be.
func ElsewhereProblem(session *v1alpha1.SeamClientSession, workspaceID, wanted string) *Problem {
	return &Problem{Cause: SessionOther, Message: fmt.Sprintf("%s is of workspace %s and the session belongs in %s: no session is made there; "+
		"correct the credential, set spec.workspaceID, or make this object anew", credentialOf(session), workspaceID, wanted)}
}

// HeldProblem is the problem of a session for which no call was made, because others who share its credential were refused.
func HeldProblem(session *v1alpha1.SeamClientSession, held *seam.HeldError) *Problem {
	p := SeamProblem(session, held.Cause, false, held.Until)
	p.RequestID, p.Until = "", time.Time{}
	if p.Cause == TooManyRequests { // that of a refused credential changes every minute, and the status would with it
		p.Until = RoundUp(held.Until)
	}
	return p
}

// credentialOf says which credential a session is fetched with.
func credentialOf(session *v1alpha1.SeamClientSession) string {
	if session.Spec.WorkspaceRef != nil {
		return "the credential of " + workspaceOf(session)
	}
	return fmt.Sprintf("the credential in Secret %q", session.Spec.CredentialSecretRef.Name)
}

func workspaceOf(session *v1alpha1.SeamClientSession) string {
	workspace := session.Workspace()
	return fmt.Sprintf("SeamWorkspace %q of namespace %q", workspace.Name, workspace.Namespace)
}

// UngrantedProblem is that of a session whose namespace may not use it. It is the same whether there is no such SeamWorkspace
// or it does not let the namespace: who may not use it learns nothing of it.
func UngrantedProblem(session *v1alpha1.SeamClientSession) *Problem {
	return &Problem{Cause: WorkspaceUngranted, Message: fmt.Sprintf("there is no %s that grants this namespace this session: "+
		"correct spec.workspaceRef, or ask whoever runs the workspace for a grant, which is noticed within seconds", workspaceOf(session))}
}

// UnreadyProblem is that of a session whose SeamWorkspace can't be used. What is wrong with that is for those who may read it.
func UnreadyProblem(session *v1alpha1.SeamClientSession) *Problem {
	return &Problem{Cause: WorkspaceUnready, Message: fmt.Sprintf("%s is not ready: whoever runs it sees there why; "+
		"the session is fetched as soon as it is", workspaceOf(session))}
}

// OtherWorkspaceProblem is that of an answer about a session of another workspace than the SeamWorkspace is.
func OtherWorkspaceProblem(wanted, got string) *Problem {
	return &Problem{Cause: SessionOther, Message: fmt.Sprintf("workspace_id of the answer is %q, and the SeamWorkspace is of %q: "+
		"the token that is there stays", got, wanted)}
}

// MissingProblem is that of a Secret, or a key in it, which the spec refers to and that is not there.
func MissingProblem(message string) *Problem {
	return &Problem{Cause: CredentialMissing, Message: message}
}

// ListKeys goes on in a message about a key that a Secret does not have, with the keys that it has. They are for whoever may
// read that Secret: those of another namespace are never listed. more is how many it has beside.
func ListKeys(keys []string, more int) string {
	var shown []string
	for _, key := range keys {
		// Somebody may have mixed up key and value.
		if len(shown) < maxListed && len(key) <= longestKey && !strings.HasPrefix(key, "seam_") && !strings.HasPrefix(key, "ey") {
			shown = append(shown, strconv.Quote(key))
		}
	}
	switch others := len(keys) + more - len(shown); {
	case len(keys) == 0:
		return ", nor any other"
	case len(shown) == 0:
		return fmt.Sprintf(", and %d that are not shown", others)
	case others > 0:
		return fmt.Sprintf(", it has %s and %d more", strings.Join(shown, ", "), others)
	}
	return ", it has " + strings.Join(shown, ", ")
}

// maxListed and longestKey bound which keys are listed.
const maxListed, longestKey = 8, 64

// UnusableProblem is that of a value which the spec refers to and that can't be used.
func UnusableProblem(name, key, why string) *Problem {
	return &Problem{Cause: CredentialUnusable, Message: fmt.Sprintf("key %q of Secret %q can't be used: %s", key, name, why)}
}

// UnreadableProblem is that of a Secret that the API server does not give.
func UnreadableProblem(name string, err error) *Problem {
	return &Problem{Cause: CredentialUnreadable, Detail: err,
		Message: fmt.Sprintf("Secret %q could not be read: check the operator's permissions", name)}
}

// TemplateProblem is that of a template that can't be used.
func TemplateProblem(err error) *Problem { return &Problem{Cause: TemplateWrong, Message: err.Error()} }

// ConflictProblem is the problem of a Secret that can't be written, or nil.
func ConflictProblem(state secret.State, session *v1alpha1.SeamClientSession) *Problem {
	name := session.SecretName()
	p := &Problem{Cause: SecretForeign}
	switch {
	case !state.Exists || state.Ours && !state.Immutable && !state.TypeDiffers || state.Adoptable:
		return nil
	case state.Ours && state.Immutable:
		p.Cause = SecretUnchangeable
		p.Message = fmt.Sprintf("Secret %q was made immutable: delete it, and it is written anew", name)
	case state.Ours:
		p.Cause = SecretUnchangeable
		p.Message = fmt.Sprintf("Secret %q has another type than spec.secret.type: delete it, and it is written anew", name)
	case state.Session != "" && state.Session != session.Name && len(state.Session) <= validation.DNS1123SubdomainMaxLength:
		p.Message = fmt.Sprintf("Secret %q belongs to SeamClientSession %q: set spec.secret.name to another name", name, state.Session)
	case state.Controller != "":
		p.Message = fmt.Sprintf("Secret %q is controlled by %s: set spec.secret.name to another name", name, state.Controller)
	case state.TypeDiffers, state.Immutable:
		p.Message = fmt.Sprintf("Secret %q exists and is not of this operator%s: set spec.secret.name to another name; it can't be "+
			"taken over, since it is of another type or immutable", name, seems(state))
	default:
		p.Message = fmt.Sprintf("Secret %q exists and is not of this operator%s: set spec.secret.name to another name; or, once whoever "+
			"it belongs to agrees that all that is in it is replaced, let it be taken over: kubectl -n %s annotate secret %s %s=%s",
			name, seems(state), session.Namespace, name, v1alpha1.AnnotationAdoptBy, session.Name)
	}
	return p
}

// seems says whose a Secret seems to be, by what is on it.
func seems(state secret.State) string {
	if state.Origin == "" {
		return ""
	}
	return " (it has " + state.Origin + ")"
}

// contestedProblem is the problem of a Secret that somebody else keeps changing.
func contestedProblem(session *v1alpha1.SeamClientSession, manager string, until time.Time) *Problem {
	const advice = "stop that, or set spec.secret.name to a name of its own; it is corrected again ever less often"
	p := &Problem{Cause: SecretContested, Until: until}
	if manager == "" { // the API server keeps no field manager of a deletion, nor of who takes labels away
		p.Message = fmt.Sprintf("something else keeps changing or deleting Secret %q, and the API server knows no field manager "+
			"that did: the audit log has who it was; %s", session.SecretName(), advice)
		return p
	}
	p.Message = fmt.Sprintf("field manager %q keeps changing Secret %q: %s", manager, session.SecretName(), advice)
	return p
}

// opponent is the field manager that keeps changing a Secret, or did before the last correction; empty where none is known.
func opponent(seen Observation) string {
	if repairs := seen.Session.Status.SecretRepairs; seen.Secret.Manager == "" && repairs != nil {
		return repairs.LastManager
	}
	return seen.Secret.Manager
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

// RoundUp is a time in whole seconds that is not before t.
func RoundUp(t time.Time) time.Time { return t.UTC().Add(time.Second - 1).Truncate(time.Second) }
