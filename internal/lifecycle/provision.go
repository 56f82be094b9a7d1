package lifecycle

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/schedule"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
)

const (
	// defaultLifetime is the default of the CRD.
	defaultLifetime = 24 * time.Hour
	// wishAge is how long what was found out by fetching a session is enough to make or extend it.
	wishAge = time.Minute
	// longestProvisionPause is where the pause after a failure stops doubling that Seam may get over by itself.
	longestProvisionPause = 5 * time.Minute
	// slack is how much earlier than planned a session may be extended: clocks differ, and times are in whole seconds.
	slack = time.Minute
)

// Wish is what Seam is to be asked to make of a session, as found out by fetching it. It is kept in memory between the two.
type Wish struct {
	// Creating says that there is no session, or one that has ended.
	Creating bool
	// ExpiresAt is the end to be asked for.
	ExpiresAt time.Time
	// Quiet says that nothing is to be said before that was tried: there was no session before either, or it was said already.
	Quiet bool
	// ConnectedAccountIDs, ConnectWebviewIDs and UserIdentityID are as in seam.Provision.
	ConnectedAccountIDs, ConnectWebviewIDs []string
	UserIdentityID                         string
	// ClientSessionID is the session that was fetched; empty if there was none.
	ClientSessionID string
	// RequestedTime is when this was found out, by Seam's clock: what is made for it is not older.
	RequestedTime time.Time
	// Known says that the request last had a good answer, so that its workspace is the one of the status.
	Known bool

	// Fingerprint and Generation are those of the request and of the object for which this was found out, At when.
	Fingerprint string
	Generation  int64
	At          time.Time
}

// IfCurrent is the wish if it is still for this object as it is, and not too old; else nil.
func (w *Wish) IfCurrent(session *v1alpha1.SeamClientSession, now time.Time) *Wish {
	if w == nil || w.Generation != session.Generation || now.Sub(w.At).Abs() > wishAge {
		return nil
	}
	return w
}

// MakesIn is the workspace that Seam must first say the credential opens, since a session could be made in another one: where it is not
// the very request that found the session last. Empty where that needs no check, or is not known. The spec says which it is, or the
// session that there was, or else the SeamWorkspace, whose workspaceID may be empty. With an API key Seam does not look at the workspace
// that is sent along, and *not found* says nothing of one.
func MakesIn(session *v1alpha1.SeamClientSession, wish *Wish, workspaceID string) string {
	switch {
	case !wish.Creating, wish.Known:
		return ""
	case session.Spec.WorkspaceID != "":
		return session.Spec.WorkspaceID
	case session.Status.WorkspaceID != "":
		return session.Status.WorkspaceID
	}
	return workspaceID
}

// Request is what is sent to Seam for the session that the selector names.
func (w *Wish) Request(selector seam.Selector) seam.Provision {
	return seam.Provision{
		User: selector, ExpiresAt: w.ExpiresAt, ConnectedAccountIDs: w.ConnectedAccountIDs, ConnectWebviewIDs: w.ConnectWebviewIDs,
		UserIdentityID: w.UserIdentityID,
	}
}

// Wanted is what Seam is to be asked to make of a session that was just fetched; nil if nothing. A session that lives is made
// neither shorter nor to see less.
func Wanted(seen Observation, fetch Fetch, now time.Time) *Wish {
	session, spec := seen.Session, seen.Session.Spec.Provision
	if spec == nil || session.Spec.Suspend || waitsForSeam(session, now) {
		return nil
	}
	wish := &Wish{
		RequestedTime: seamTime(fetch),
		ExpiresAt:     seamTime(fetch).Add(lifetime(spec)), Known: SameRequest(&session.Status, fetch.Fingerprint),
		ConnectedAccountIDs: plain(spec.ConnectedAccountIDs), ConnectWebviewIDs: plain(spec.ConnectWebviewIDs),
		UserIdentityID: string(spec.UserIdentityID),
		Fingerprint:    fetch.Fingerprint, Generation: session.Generation, At: now,
	}
	switch {
	case fetch.Provided.Tried:
		return nil
	case fetch.Progress == Failed && (fetch.Problem.Cause == SessionMissing || fetch.Problem.Cause == SessionGone):
		wish.Creating, wish.Quiet = true, fetch.Problem.Cause == SessionMissing || saidBefore(session)
		return wish
	case fetch.Progress == Answered && fetch.Answer.ExpiresAt != nil:
		return wish.ofWhatIsThere(seen, fetch, now)
	}
	return nil
}

// ofWhatIsThere is what is wanted of a session that Seam has just told of and that has an end; nil if nothing is.
func (w *Wish) ofWhatIsThere(seen Observation, fetch Fetch, now time.Time) *Wish {
	session, told, wish := seen.Session, fetch.Answer, *w
	other := holdsAnother(seen.Secret, told.ID, now) && !tokenEnded(seen.Secret, session.Status, now)
	switch over := !told.ExpiresAt.After(seamTime(fetch)); {
	case over && other && !gone(session, Attempt{}) && !endsSoon(session, seen.Secret.ClientSessionID, seen.Secret.ExpiresAt, seamTime(fetch)):
		return nil // Seam returns any of the sessions of a user
	case over:
		wish.Creating, wish.Quiet = true, saidBefore(session)
	case !provisionChanged(session) && !failedLast(session) && !endsSoon(session, told.ID, told.ExpiresAt, seamTime(fetch)):
		return nil
	}
	return wish.withWhatIsThere(told)
}

// withWhatIsThere keeps the end of a session if it is later than the one that is wanted, and of what it may see all that the spec
// leaves out: what leaving it out of the request means is not documented.
func (w *Wish) withWhatIsThere(told *seam.ClientSession) *Wish {
	kept := *w
	kept.ClientSessionID = told.ID
	if told.ExpiresAt.After(kept.ExpiresAt) {
		kept.ExpiresAt = *told.ExpiresAt
	}
	if len(kept.ConnectedAccountIDs) == 0 {
		kept.ConnectedAccountIDs = told.ConnectedAccountIDs
	}
	if len(kept.ConnectWebviewIDs) == 0 {
		kept.ConnectWebviewIDs = told.ConnectWebviewIDs
	}
	if kept.UserIdentityID == "" {
		kept.UserIdentityID = told.UserIdentityID
	}
	return &kept
}

// endsSoon says whether a session that lives is to be extended now: within the time before its end, and not again before a third
// of what Seam last granted has passed, or five minutes where somebody has made that very session shorter since. So a Seam that grants
// less than was asked for, or grants it to another session, is not asked at every look.
func endsSoon(session *v1alpha1.SeamClientSession, clientSessionID string, end *time.Time, seamNow time.Time) bool {
	if end == nil {
		return false
	}
	status := session.Status
	status.ExpiresAt = optionalTime(end)
	input := scheduleInput(session, &status)
	window := schedule.RenewBefore(input)
	if end.Sub(seamNow) > window+min(slack, window/10) {
		return false
	}
	last := status.Provisioning
	if last == nil || last.LastCallTime == nil || last.GrantedUntil == nil || last.LastCallTime.After(seamNow) {
		return true
	}
	since := seamNow.Sub(last.LastCallTime.Time)
	shortened := clientSessionID == status.ClientSessionID && end.Before(last.GrantedUntil.Time)
	return since >= last.GrantedUntil.Sub(last.LastCallTime.Time)/3 || shortened && since >= longestProvisionPause
}

// grantedLife is how long a session with the end of the status lives after an extension: what Seam granted, if this is the end that it
// granted, or else what the spec asks for.
func grantedLife(session *v1alpha1.SeamClientSession, status *v1alpha1.SeamClientSessionStatus) time.Duration {
	last := status.Provisioning
	if last != nil && last.LastCallTime != nil && last.GrantedUntil != nil && last.GrantedUntil.Equal(status.ExpiresAt) {
		return max(last.GrantedUntil.Sub(last.LastCallTime.Time), 0)
	}
	return lifetime(session.Spec.Provision)
}

// provisionDue says whether the session is to be fetched so that Seam can be asked to make or extend it, whatever the schedule says.
func provisionDue(seen Observation, now time.Time) bool {
	session := seen.Session
	if session.Spec.Provision == nil || waitsForSeam(session, now) {
		return false
	}
	status := &session.Status
	at := provisionNext(session, status, now)
	return syncedReason(status) == "" || // what was found out by fetching it is lost
		provisionChanged(session) && status.ObservedGeneration != session.Generation || !at.IsZero() && !at.After(now)
}

// nextCall is when Seam is called next: as scheduled, or, where that failed, when a session may be made or extended. What lives, and what was
// fetched and could not be written, does not wait for that.
func nextCall(session *v1alpha1.SeamClientSession, status *v1alpha1.SeamClientSessionStatus, now time.Time) time.Time {
	next, made := schedule.Next(scheduleInput(session, status), now), provisionAt(session, status, now)
	lives := meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionSynced) || syncedReason(status) == v1alpha1.ReasonSecretWriteFailed
	if made.IsZero() || lives && next.Before(made) {
		return next
	}
	return made
}

// provisionNext is provisionAt for a status that was written: zero also while nothing can be asked until something changes.
func provisionNext(session *v1alpha1.SeamClientSession, status *v1alpha1.SeamClientSessionStatus, now time.Time) time.Time {
	if unscheduled(status) {
		return time.Time{}
	}
	return provisionAt(session, status, now)
}

// provisionAt is when the session is fetched again because Seam may then be asked to make or extend it; zero if that is not waited
// for. Once it was fetched after that, the schedule says when it is next.
func provisionAt(session *v1alpha1.SeamClientSession, status *v1alpha1.SeamClientSessionStatus, now time.Time) time.Time {
	last := status.Provisioning
	if session.Spec.Provision == nil || session.Spec.Suspend || last == nil || last.NotBefore == nil || waitsTooLong(session, last, now) ||
		status.LastAttemptTime != nil && !status.LastAttemptTime.Before(last.NotBefore) {
		return time.Time{}
	}
	if last.Reason == "" && syncedReason(status) != v1alpha1.ReasonSessionNotFound && !expired(status.ExpiresAt, now) {
		return time.Time{}
	}
	return last.NotBefore.Time
}

// waitsForSeam says whether Seam must not be asked yet to make or extend the session.
func waitsForSeam(session *v1alpha1.SeamClientSession, now time.Time) bool {
	last := session.Status.Provisioning
	if last == nil || last.NotBefore == nil || provisionChanged(session) {
		return false
	}
	return last.NotBefore.After(now) && !waitsTooLong(session, last, now)
}

// waitsTooLong says whether a wait is longer than any can be: it is of a clock that was set back since.
func waitsTooLong(session *v1alpha1.SeamClientSession, last *v1alpha1.Provisioning, now time.Time) bool {
	longest := longestProvisionPause
	switch last.Reason {
	case "":
	case v1alpha1.ReasonRateLimited: // Seam has said how long
		return last.NotBefore.Sub(now) > time.Hour
	default:
		longest = max(longest, interval(session))
	}
	// A credential that is refused is held back for a minute. Times are in whole seconds, rounded up.
	return last.NotBefore.Sub(now) > max(doubled(last.CallsInARow, longest), time.Minute)+time.Second
}

// saidBefore says whether it shows in a session already that it has to be made again, and that this failed.
func saidBefore(session *v1alpha1.SeamClientSession) bool {
	return !meta.IsStatusConditionTrue(session.Status.Conditions, v1alpha1.ConditionReady) && (failedLast(session) || gone(session, Attempt{}))
}

func failedLast(session *v1alpha1.SeamClientSession) bool {
	return session.Status.Provisioning != nil && session.Status.Provisioning.Reason != ""
}

// provisionChanged says whether Seam was not asked yet for what the spec says.
func provisionChanged(session *v1alpha1.SeamClientSession) bool {
	last := session.Status.Provisioning
	return last == nil || last.SpecHash != provisionHash(session.Spec.Provision)
}

// provisionHash tells specs apart. Nothing in them is secret.
func provisionHash(spec *v1alpha1.Provision) string {
	encoded, err := json.Marshal(struct {
		Lifetime           string
		Accounts, Webviews []v1alpha1.SeamID
		Identity           v1alpha1.SeamID
	}{lifetime(spec).String(), spec.ConnectedAccountIDs, spec.ConnectWebviewIDs, spec.UserIdentityID})
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:])[:fingerprintLength]
}

// nextProvisioning is what the status says of making and extending the session after an attempt.
func nextProvisioning(seen Observation, attempt Attempt, now time.Time) *v1alpha1.Provisioning {
	session, provided := seen.Session, attempt.Fetch.Provided
	before := session.Status.Provisioning
	switch {
	case session.Spec.Provision == nil:
		return nil
	case !provided.Tried && attempt.Fetch.Progress == Answered && attempt.Wish == nil && !waitsForSeam(session, now):
		return settled(before)
	case !provided.Tried:
		return before.DeepCopy()
	}
	next := &v1alpha1.Provisioning{
		LastCallTime: &metav1.Time{Time: provided.SeamTime}, SpecHash: provisionHash(session.Spec.Provision),
		CallsInARow: callsInARow(before, provided, now),
	}
	if problem := provided.Problem; problem != nil {
		next.Reason, next.Message = problem.Row().Reason, problem.Message
		next.NotBefore = &metav1.Time{Time: RoundUp(now.Add(provisionPause(session, problem, next.CallsInARow)))}
		if problem.Until.After(next.NotBefore.Time) {
			next.NotBefore.Time = problem.Until
		}
		return next
	}
	next.GrantedUntil = optionalTime(provided.Until)
	if provided.Creating {
		next.NotBefore = &metav1.Time{Time: RoundUp(now.Add(provisionPause(session, nil, next.CallsInARow)))}
	}
	return next
}

// settled is what is left of a failure when nothing is to be asked any more: somebody else has extended the session.
func settled(before *v1alpha1.Provisioning) *v1alpha1.Provisioning {
	next := before.DeepCopy()
	if next != nil {
		next.Reason, next.Message, next.NotBefore, next.CallsInARow = "", "", nil, 0
	}
	return next
}

// callsInARow is how many calls in a row failed or made a session, this one included. A row ends with one that extended a session,
// or when nothing was to be done for twice as long as the pause was.
func callsInARow(before *v1alpha1.Provisioning, provided Provided, now time.Time) int32 {
	switch {
	case provided.Problem == nil && !provided.Creating:
		return 0
	case before == nil || before.NotBefore == nil || now.Sub(before.NotBefore.Time) > longestProvisionPause:
		return 1
	}
	return before.CallsInARow + 1
}

// provisionPause is how long Seam is not asked again. It doubles from 5 s: to refreshInterval where Seam says that it will not, to 5
// minutes where it could not, or where somebody keeps deleting what was made.
func provisionPause(session *v1alpha1.SeamClientSession, problem *Problem, calls int32) time.Duration {
	longest := longestProvisionPause
	if problem != nil {
		switch problem.Cause {
		case CredentialForbidden, RequestInvalid, UserKeyRefused, SessionOther, SessionConflict:
			longest = max(longest, interval(session))
		}
	}
	return doubled(calls, longest)
}

// doubled is a pause of 5 s, doubled with each call in a row after the first.
func doubled(calls int32, longest time.Duration) time.Duration {
	pause := schedule.MinDelay
	for i := int32(1); i < calls && pause < longest; i++ {
		pause *= 2
	}
	return min(pause, longest)
}

func lifetime(spec *v1alpha1.Provision) time.Duration {
	if spec.Lifetime == nil {
		return defaultLifetime
	}
	return spec.Lifetime.Duration
}

func interval(session *v1alpha1.SeamClientSession) time.Duration {
	return scheduleInput(session, &session.Status).RefreshInterval
}

func plain(ids []v1alpha1.SeamID) []string {
	var all []string
	for _, id := range ids {
		all = append(all, string(id))
	}
	return all
}
