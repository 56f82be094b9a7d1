package controller

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

const (
	// simWish is how long what was found out by fetching a session may lead to a call that makes or extends it.
	// after which Seam may take its time to say which workspace it is.
	simWish = time.Minute + 2*time.Second + simCallTimeout
	// simClaim is within what time after an object was to make a session it may take one for its own.
	simClaim = 2*time.Minute + time.Second
	// simFarewell is how long an object may wait for Seam to delete its session, and simFarewellUntried one that can't even try.
	simFarewell, simFarewellUntried = 5 * time.Minute, 5*time.Minute + 30*time.Second
	// maxFormer is how many former sessions a status has room for.
	maxFormer = 16
	// simLongestTry is how much longer one may take whose last try begins just before, with all the calls of that.
	simLongestTry = 90 * time.Second
)

// simMakers is what is known of who made which session.
type simMakers struct {
	made map[string]*simMade // by ID
	// requested are when objects wrote down that they were about to make a session, by UID.
	requested map[types.UID][]time.Time
	// left are the objects of which an event says that a session stays at Seam.
	left map[types.UID]bool
}

type simMade struct {
	by   types.UID
	of   string   // its user
	word *simWord // in which Seam told of it to whom it was made for
	// forgotten says that it was taken to have ended, or to be gone: when another one was made, or when Seam said so as it was to be
	// deleted.
	forgotten bool
}

func newSimMakers() simMakers {
	return simMakers{made: map[string]*simMade{}, requested: map[types.UID][]time.Time{}, left: map[types.UID]bool{}}
}

// simProvided is what is known of the calls that made and extended the session of an object.
type simProvided struct {
	// fetched is Seam's last answer to get, by whom it was told: one that is frozen has an older one.
	fetched map[*simOperator]*simWord
	tried   simTried
	// provides counts the calls.
	provides int
	leaving  bool
}

// simTried is the last call that was to make or extend a session.
type simTried struct {
	by          *simOperator // nil for none
	spec        v1alpha1.Provision
	good, saved bool
	life        time.Duration // that it granted
}

// answered notes an answer of Seam's about a session.
func (f *simFacts) answered(w *simWord) {
	if w.path == getPath {
		if f.fetched == nil {
			f.fetched = map[*simOperator]*simWord{}
		}
		f.fetched[w.by] = w
		return
	}
	f.tried.good = w.kind > simGone && !w.lost && !w.lie
	if w.ends != nil {
		f.tried.life = w.ends.Sub(w.at)
	}
}

// provision is what the object's spec says about that, by the cache when the reconcile began; nil for nothing.
func (a *simAttempt) provision() *v1alpha1.Provision {
	if a.session == nil {
		return nil
	}
	return a.session.Spec.Provision
}

// terminates says whether the object was being deleted, by the cache, when the reconcile began.
func (a *simAttempt) terminates() bool {
	return a.session != nil && a.session.DeletionTimestamp != nil
}

// overtaken says whether the object was edited, by the cache, since the reconcile began.
func (a *simAttempt) overtaken() bool {
	now := a.by.sim.seen(a)
	return a.session != nil && now != nil && now.Generation > a.session.Generation
}

// simAllowing has a grant let sessions be made, and see some accounts.
func simAllowing(grant v1alpha1.Grant, accounts ...v1alpha1.SeamID) v1alpha1.Grant {
	grant.Allow = []v1alpha1.GrantedUse{v1alpha1.GrantedProvision}
	if len(accounts) > 0 {
		grant.Associations = &v1alpha1.Associations{ConnectedAccountIDs: accounts}
	}
	return grant
}

// allows says whether a grant allows to provide a session so; also for one that is only read.
func allows(grant v1alpha1.Grant, spec *v1alpha1.Provision) bool {
	if spec == nil {
		return true
	}
	granted := grant.Associations
	if granted == nil {
		granted = &v1alpha1.Associations{}
	}
	all := func(granted, asked []v1alpha1.SeamID) bool {
		return !slices.ContainsFunc(asked, func(id v1alpha1.SeamID) bool { return !slices.Contains(granted, id) })
	}
	return slices.Contains(grant.Allow, v1alpha1.GrantedProvision) && all(granted.ConnectedAccountIDs, spec.ConnectedAccountIDs) &&
		all(granted.ConnectWebviewIDs, spec.ConnectWebviewIDs) && (spec.UserIdentityID == "" || slices.Contains(granted.UserIdentityIDs, spec.UserIdentityID))
}

// editProvision has a session made and extended, or otherwise than before.
func editProvision(s *simulation, spec *v1alpha1.SeamClientSessionSpec) {
	if !s.provides {
		return
	}
	spec.Provision = &v1alpha1.Provision{
		WhenDeleted: pick(s, v1alpha1.ProvisionedExpire, v1alpha1.ProvisionedDelete, v1alpha1.ProvisionedDelete),
	}
	if lifetime := pick(s, 0, 10*time.Minute, time.Hour, 24*time.Hour, 24*time.Hour, 720*time.Hour); lifetime > 0 {
		spec.Provision.Lifetime = &metav1.Duration{Duration: lifetime}
	}
	if s.chance(30) {
		spec.Provision.ConnectedAccountIDs = pick(s, []v1alpha1.SeamID{"account1"}, []v1alpha1.SeamID{"account2", "account1"})
	}
	if s.chance(10) {
		spec.Provision.ConnectWebviewIDs = []v1alpha1.SeamID{"webview1"}
	}
	if s.chance(10) {
		spec.Provision.UserIdentityID = "identity1"
	}
	if spec.ClientSessionID != "" {
		editSelector(s, spec)
	}
}

// behavesOtherwise changes what Seam does where it is unknown what it does.
func behavesOtherwise(s *simulation, session seamtest.Session) string {
	if !s.provides {
		return heals(s, session)
	}
	behaviour, some := s.seam.behaviour, func() bool { return s.chance(25) }
	behaviour.ExtendingChangesToken, behaviour.OmittedClears, behaviour.EmptyKeeps, behaviour.KeepsEnd = some(), some(), some(), some()
	behaviour.RefusesPast, behaviour.RevokedNotFound, behaviour.GoneIsDeleted, behaviour.DeletedIsEmpty = some(), some(), some(), some()
	behaviour.Existing = pick(s, seamtest.Returned, seamtest.Returned, seamtest.Returned, seamtest.Replaced, seamtest.Doubled, seamtest.Refused, seamtest.Conflicting)
	behaviour.Ended = pick(s, seamtest.Returned, seamtest.Returned, seamtest.Replaced, seamtest.Doubled, seamtest.Refused, seamtest.Conflicting)
	behaviour.MaxLifetime = pick(s, 0, 0, 0, 10*time.Minute, time.Hour, 20*time.Hour)
	s.seam.behave(behaviour)
	return fmt.Sprintf("behaves so: %+v", behaviour)
}

// behavesWell leaves of what Seam does what lets sessions be made and extended.
func (s *simulation) behavesWell() {
	behaviour := s.seam.behaviour
	behaviour.KeepsEnd = false
	for _, match := range []*seamtest.Match{&behaviour.Existing, &behaviour.Ended} {
		if *match == seamtest.Refused || *match == seamtest.Conflicting {
			*match = seamtest.Returned
		}
	}
	s.seam.behave(behaviour)
	s.tracef("Seam behaves so: %+v", behaviour)
}

// simProvisionFaults are what making, extending and deleting a session meets.
var simProvisionFaults = slices.Concat([]seamtest.Fault{
	seamtest.Forbidden, seamtest.Forbidden, seamtest.Status(http.StatusConflict, "conflict"), seamtest.RateLimitedSeconds,
	seamtest.Status(http.StatusBadRequest, "client_session_token_already_exists"), seamtest.Outage.AfterActing(), seamtest.Outage.AfterActing(),
	seamtest.ServerError.AfterActing(), seamtest.TruncatedJSON.AfterActing(), seamtest.RateLimitedSilent, seamtest.ResetInBody,
}, seamtest.Faults)

// failsToProvide begins a fault of the routes that change something.
func failsToProvide(s *simulation, session seamtest.Session) string {
	if !s.provides {
		return heals(s, session)
	}
	fault, value := pick(s, simProvisionFaults...), pick(s, simUsable...)
	if strings.HasPrefix(fault.Name, seamtest.Hang.Name) {
		return slows(s, session)
	}
	path := pick(s, getOrCreatePath, getOrCreatePath, getOrCreatePath, deletePath)
	if s.chance(30) {
		s.seam.FailCredentialOn(value, path, fault)
		return fmt.Sprintf("fails on %s for %s with %q", path, value, fault)
	}
	s.seam.FailRoute(path, fault)
	return fmt.Sprintf("fails on %s with %q", path, fault)
}

// askingToChange checks a call that makes, extends or deletes a session, or prepares that, before it is made.
func (s *simulation) askingToChange(call *simCall) {
	attempt, now := call.attempt, s.mono.Now()
	facts, period := s.facts(attempt.name), 2*time.Minute
	s.tracef("  %s asks %s for %v until %s", attempt.name, call.path, call.question, call.asked.Ends.Format(time.RFC3339))
	s.checkGrantedChange(call)
	if pause := s.held(call); pause > 0 && attempt.by == s.operator {
		s.violate(4, "%s is called for %s with a credential that must not be used for another %s", call.path, attempt.name, pause)
	}
	if attempt.terminates() {
		if period = 8 * time.Second; !facts.leaving {
			facts.leaving = true
			facts.budgets[2].left += 40
		}
	}
	if !facts.budgets[2].spend(now, period) {
		s.violate(4, "%s is called for %s too often", call.path, attempt.name)
	}
	facts.calls++
	facts.budgets[1].left += 6
	facts.unsaved = true
	switch call.path {
	case getOrCreatePath:
		s.checkAsked(call, facts)
		if attempt.by == s.operator {
			facts.lastCall, facts.lastWall = now, s.wall.Now()
		}
	case deletePath:
		if !attempt.terminates() || attempt.provision() == nil || attempt.provision().WhenDeleted != v1alpha1.ProvisionedDelete {
			s.violate(11, "%s is deleted for %s, which does not ask for that", call.question.id, attempt.name)
		}
	}
}

// checkGrantedChange is invariant 8, of such a call.
func (s *simulation) checkGrantedChange(call *simCall) {
	q, keys := call.question, []string{call.question.key}
	if call.path != getOrCreatePath {
		keys = append(keys, s.keysOf(call.attempt.session)...)
	}
	ref := call.attempt.session.Spec.UserIdentifierKeySecretRef
	if call.attempt.terminates() && ref != nil && s.api.secret(ref.Name) == nil {
		keys = append(keys, simKeys...) // it may be that of any user
	}
	for _, q.key = range keys {
		if s.granted(call.attempt.by, q, call.attempt.provision()) {
			return
		}
	}
	s.violate(8, "%s is called for %s by %v, which is not granted", call.path, call.attempt.name, call.question)
}

// keysOf are the user identifier keys that an object may be taken to have: it may have read them a moment ago.
func (s *simulation) keysOf(session *v1alpha1.SeamClientSession) []string {
	keys := []string{session.Spec.UserIdentifierKey}
	if ref := session.Spec.UserIdentifierKeySecretRef; ref != nil {
		for _, change := range slices.Backward(s.api.history[kindSecret]) {
			if held, ok := change.after.(*corev1.Secret); ok && held.Name == ref.Name && len(keys) < 4 {
				keys = append(keys, strings.TrimRight(string(held.Data[ref.Key]), "\r\n"))
			}
		}
	}
	return keys
}

// checkAsked is invariants 9 and 10, of a call that makes or extends a session: it follows an answer of get that calls for it.
func (s *simulation) checkAsked(call *simCall, facts *simFacts) {
	attempt, w, spec := call.attempt, facts.fetched[call.attempt.by], call.attempt.provision()
	live := s.api.session(attempt.name)
	if spec == nil && live != nil { // an edit may be known from elsewhere than the cache
		spec = live.Spec.Provision
	}
	switch {
	case spec == nil:
		s.violate(10, "%s is provided, and does not ask for that", attempt.name)
	case w == nil, w.gaveUp, w.late, w.kind == simOther, w.question != call.question, w.used:
		s.violate(10, "%s is provided, and get has not just answered for it: %v", attempt.name, w)
	case s.mono.Now().Sub(w.heard) > simWish && s.jumpedAt.Before(w.heard):
		s.violate(10, "%s is provided for what get has said %s ago", attempt.name, s.mono.Now().Sub(w.heard))
	case w.kind == simGone, w.ends != nil && !w.ends.After(w.at):
		s.checkPrepared(attempt, live)
	case w.ends == nil:
		s.violate(9, "%s is provided, and its session %s has no end", attempt.name, w.id)
	case call.asked.Ends.Before(*w.ends):
		s.violate(9, "%s is to end at %s, and get has just said %s", w.id, call.asked.Ends, w.ends)
	case !facts.tried.calls(spec, w) && !failedBefore(live):
		s.violate(10, "%s is provided, and nothing calls for it: it was %+v, and now is %s, until %v: %s", attempt.name, facts.tried, describe(v1alpha1.SeamClientSessionSpec{Provision: spec}), w.ends, provisioning(live))
	}
	if w != nil {
		w.used = true
	}
	facts.provides++
	facts.tried = simTried{by: attempt.by, life: facts.tried.life}
	if spec != nil {
		facts.tried.spec = *spec
	}
}

// calls says whether a session that lives is to be extended or changed: it ends soon, or the last call was not for that spec, failed, or
// is not known to who makes the next.
func (t simTried) calls(spec *v1alpha1.Provision, w *simWord) bool {
	before, now := t.spec, *spec
	before.WhenDeleted, now.WhenDeleted = "", ""
	window := max(simLifetime(spec), t.life) * 45 / 100
	return t.by == nil || !t.good || !t.saved || !reflect.DeepEqual(before, now) || w.ends.Sub(w.at) <= window+2*time.Second
}

// failedBefore says whether a status says that the last call failed, or that it could not be made.
func failedBefore(session *v1alpha1.SeamClientSession) bool {
	return session == nil || session.Status.Provisioning == nil || session.Status.Provisioning.Reason != ""
}

func simLifetime(spec *v1alpha1.Provision) time.Duration {
	if spec.Lifetime == nil {
		return 24 * time.Hour
	}
	return spec.Lifetime.Duration
}

// checkPrepared checks that all is written down that must be before a session is made.
func (s *simulation) checkPrepared(attempt *simAttempt, live *v1alpha1.SeamClientSession) {
	if attempt.by != s.operator || live == nil || attempt.session == nil || live.UID != attempt.session.UID || live.Generation != attempt.session.Generation {
		return
	}
	if made := live.Status.Provisioned; made == nil || made.RequestedTime == nil {
		s.violate(11, "%s makes a session, and has not written that down", live.Name)
	}
	if wants := live.Spec.Provision; wants != nil && wants.WhenDeleted == v1alpha1.ProvisionedDelete && len(attempt.session.Finalizers) > 0 &&
		!controllerutil.ContainsFinalizer(live, v1alpha1.Finalizer) {
		s.tracef("  somebody has just taken the finalizer off %s", live.Name)
	} else if wants != nil && wants.WhenDeleted == v1alpha1.ProvisionedDelete && !controllerutil.ContainsFinalizer(live, v1alpha1.Finalizer) {
		s.violate(12, "%s makes a session that is to be deleted with it, and has no finalizer", live.Name)
	}
}

// changed checks what a call has changed at Seam.
func (s *simulation) changed(call *simCall) {
	switch call.path {
	case getOrCreatePath:
		for _, after := range call.after {
			i := slices.IndexFunc(call.before, func(before seamtest.Session) bool { return before.ID == after.ID })
			if i < 0 {
				s.checkMade(call.attempt, after)
			} else if !reflect.DeepEqual(call.before[i], after) {
				s.checkExtended(call, call.before[i], after)
			}
		}
	case deletePath:
		if _, still := s.seam.Session(call.question.id); len(call.before) > 0 && !still {
			s.checkDeleted(call.attempt, call.before[0])
		}
	}
}

// checkMade is invariant 10, of a session that was made.
func (s *simulation) checkMade(attempt *simAttempt, made seamtest.Session) {
	s.tracef("  Seam has made %s of %s until %s", made.ID, made.WorkspaceID, made.ExpiresAt.Format(time.RFC3339))
	if attempt.session == nil {
		return
	}
	if w := s.facts(attempt.name).fetched[attempt.by]; w != nil && (w.kind == simGone || w.ends != nil && !w.ends.After(w.at)) {
		for _, former := range s.made {
			former.forgotten = former.forgotten || former.by == attempt.session.UID && former.of == made.UserIdentifierKey
		}
	}
	s.made[made.ID] = &simMade{by: attempt.session.UID, of: made.UserIdentifierKey}
	s.checkMadeIn(attempt, made)
}

// checkMadeIn is invariant 10, of the workspace that a session was made in.
func (s *simulation) checkMadeIn(attempt *simAttempt, made seamtest.Session) {
	wanted, was := attempt.session.Spec.WorkspaceID, ""
	if live := s.api.session(attempt.name); live != nil && live.UID == attempt.session.UID {
		was = live.Status.WorkspaceID
	}
	if wanted == "" {
		wanted = was
	}
	if w := s.facts(attempt.name).fetched[attempt.by]; w != nil && w.kind > simGone && w.held.WorkspaceID == made.WorkspaceID {
		return // Seam made it instead of the one that was to be extended
	}
	if wanted != "" && made.WorkspaceID != wanted && slices.Contains(simOpens["seam_at_hush"], wanted) { // else Seam has erred
		s.violate(10, "%s makes a session in %s instead of %s", attempt.name, made.WorkspaceID, wanted)
	}
}

// checkExtended is invariant 9, of a session that was changed. What get has just told of it, truly, is what it is not to have less of.
func (s *simulation) checkExtended(call *simCall, before, after seamtest.Session) {
	s.tracef("  Seam has changed %s to end at %s", after.ID, after.ExpiresAt.Format(time.RFC3339))
	w, spec := s.facts(call.attempt.name).fetched[call.attempt.by], call.attempt.provision()
	if w == nil || w.id != before.ID || w.lie || spec == nil || !reflect.DeepEqual(w.held, before) {
		return
	}
	if after.ExpiresAt.Before(before.ExpiresAt.Truncate(time.Second)) && call.asked.Ends.Before(before.ExpiresAt.Truncate(time.Second)) {
		s.violate(9, "%s makes %s end at %s instead of %s", call.attempt.name, after.ID, after.ExpiresAt, before.ExpiresAt)
	}
	less := func(spec []v1alpha1.SeamID, before, after []string) bool {
		return len(spec) == 0 && !slices.Equal(before, after)
	}
	if less(spec.ConnectedAccountIDs, before.ConnectedAccountIDs, after.ConnectedAccountIDs) ||
		less(spec.ConnectWebviewIDs, before.ConnectWebviewIDs, after.ConnectWebviewIDs) ||
		spec.UserIdentityID == "" && after.UserIdentityID != before.UserIdentityID {
		s.violate(9, "%s makes %s see %v instead of %v", call.attempt.name, after.ID, after, before)
	}
}

// checkDeleted is invariant 11, of a session that was deleted for an object.
func (s *simulation) checkDeleted(attempt *simAttempt, gone seamtest.Session) {
	s.tracef("  Seam has deleted %s", gone.ID)
	uid := attempt.session.UID
	made := s.made[gone.ID]
	claimed := slices.ContainsFunc(s.requested[uid], func(at time.Time) bool {
		return !gone.CreatedAt.Before(at) && gone.CreatedAt.Sub(at) <= simClaim
	})
	if (made == nil || made.by != uid) && !claimed {
		s.violate(11, "%s is deleted for %s, which has not made it", gone.ID, attempt.name)
	}
	if by := s.usedBy(gone.ID, attempt.name, attempt.by); by != "" {
		s.violate(11, "%s is deleted for %s, and %s has its token", gone.ID, attempt.name, by)
	}
}

// usedBy is another object that has the token of a session and is not being deleted, by the cache of a process; empty for none.
func (s *simulation) usedBy(id, but string, o *simOperator) string {
	for _, object := range sorted(o.cache, kindSession) {
		session := object.(*v1alpha1.SeamClientSession)
		if session.Name != but && session.DeletionTimestamp == nil && session.Status.ClientSessionID == id {
			return session.Name
		}
	}
	return ""
}

// wasUsed says whether an object had the token of a session that was deleted just before.
func (s *simulation) wasUsed(id, but string) bool {
	return slices.ContainsFunc(s.api.history[kindSession], func(change simChange) bool {
		before, ok := change.before.(*v1alpha1.SeamClientSession)
		return ok && before.Name != but && before.Status.ClientSessionID == id && s.truth.Now().Sub(change.at) < time.Minute
	})
}

// noteRequest notes in a status what it says about making sessions.
func (s *simulation) noteRequest(session *v1alpha1.SeamClientSession) {
	if session.Status.Provisioning == nil {
		s.facts(session.Name).tried = simTried{}
	}
	if made := session.Status.Provisioned; made != nil && made.RequestedTime != nil {
		s.requested[session.UID] = append(s.requested[session.UID], made.RequestedTime.Time)
	}
}

// noteMade notes that an object was told, truly, of the session that was made by its call. One of which the answer is lost may be known
// later, and is not for certain.
func (s *simulation) noteMade(call *simCall, w *simWord) {
	before := slices.ContainsFunc(call.before, func(session seamtest.Session) bool { return session.ID == w.id })
	told := call.response != nil && bytes.Contains(call.response.Body.Bytes(), []byte(`"created_at":"20`)) // else it may be somebody else's
	if made := s.made[w.id]; made != nil && w.kind > simGone && !w.lie && !before && told {
		made.word = w
	}
}

// wroteFinalizer checks a write of the operator to a session beside its status: that of its finalizer.
func (s *simulation) wroteFinalizer(attempt *simAttempt, before *v1alpha1.SeamClientSession, after client.Object) {
	s.facts(attempt.name).statuses++
	if before.DeletionTimestamp != nil && after == nil && before.Spec.Provision != nil && before.Spec.Provision.WhenDeleted == v1alpha1.ProvisionedDelete {
		s.checkFarewell(attempt, before)
	}
}

// checkFarewell is invariant 12, of an object that goes: nothing that it knows to have made stays at Seam unsaid.
func (s *simulation) checkFarewell(attempt *simAttempt, gone *v1alpha1.SeamClientSession) {
	if w := s.facts(gone.Name).fetched[attempt.by]; w != nil && w.kind == simGone && w.lie {
		return // what it may have made was looked for, and Seam has erred
	}
	former := 0
	if made := gone.Status.Provisioned; made != nil {
		former = len(made.FormerClientSessionIDs)
	}
	for _, id := range s.seam.ids {
		known := s.knownToHaveMade(gone.UID, id)
		if !known || s.left[gone.UID] || former == maxFormer || s.wasUsed(id, gone.Name) {
			continue // the oldest ones are forgotten; or it was another's a moment ago
		}
		// For each that it made before it is not known in which workspace that was.
		session, _ := s.seam.Session(id)
		if session.WorkspaceID == s.question(gone).opens() && session.ExpiresAt.After(s.truth.Now()) && s.usedBy(id, gone.Name, attempt.by) == "" {
			s.violate(12, "%s goes, and %s stays: %+v", gone.Name, id, gone.Status.Provisioned)
		}
	}
}

// knownToHaveMade says whether an object made a session that is there, and has written that down.
func (s *simulation) knownToHaveMade(uid types.UID, id string) bool {
	made := s.made[id]
	if made == nil || made.by != uid || made.word == nil || !made.word.saved || made.forgotten {
		return false
	}
	_, found := s.seam.Session(id)
	return found
}

// leftBehind notes that an event says that a session of an object stays at Seam, and checks that it has to.
func (s *simulation) leftBehind(session *v1alpha1.SeamClientSession) {
	s.left[session.UID] = true
	s.tracef("  %s leaves its session behind", session.Name)
	waited := s.truth.Now().Sub(session.DeletionTimestamp.Time)
	q := s.question(session)
	if s.calm && waited < simFarewell && q.credential != "" && s.granted(s.operator, q, session.Spec.Provision) {
		s.violate(12, "%s leaves its session behind after %s, and its credential is there", session.Name, waited)
	}
}

// checkGone is invariant 12: an object that was deleted is gone in time, whatever Seam does.
func (s *simulation) checkGone() {
	for _, name := range s.api.names(kindSession) {
		if going := s.api.session(name); going.DeletionTimestamp != nil && s.truth.Now().Sub(going.DeletionTimestamp.Time) > simFarewellUntried+simLongestTry {
			s.violate(12, "%s is still there, and was deleted at %s: %+v", name, going.DeletionTimestamp, going.Status.Provisioned)
		}
	}
}

// checkFarewells deletes all sessions, and perhaps what they would be deleted with at Seam.
func (s *simulation) checkFarewells() {
	if s.violation != "" {
		return
	}
	s.caused()
	for i, at := range s.rand.Perm(len(simSessions)) {
		switch s.rand.IntN(16) {
		case 0:
			if workspace := s.api.workspace(); workspace != nil {
				s.must(s.api.remove(workspace, client.Preconditions{}))
				s.tracef("platform: deletes the workspace")
			}
		case 1, 2:
			name := pick(s, "credential-1", "credential-2", "user")
			if held := s.api.secret(name); held != nil {
				s.must(s.api.remove(held, client.Preconditions{}))
				s.tracef("colleague: deletes %s", name)
			}
		}
		if session := s.api.session(simSessions[at]); session != nil {
			s.must(s.api.remove(session, client.Preconditions{}))
			s.tracef("user: deletes %s, the last but %d", session.Name, len(simSessions)-1-i)
		}
		s.run(pick(s, 0, time.Second, 20*time.Second))
	}
	s.run(simFarewellUntried + simLongestTry + time.Second)
	s.checkGone()
}

// churns says whether another object may change the session of one.
func (s *simulation) churns(session *v1alpha1.SeamClientSession, found *seamtest.Session) bool {
	return found.UserIdentifierKey != "" && slices.ContainsFunc(s.api.names(kindSession), func(name string) bool {
		other := s.api.session(name)
		return name != session.Name && other.Spec.Provision != nil && s.question(other).key == found.UserIdentifierKey
	})
}

// shouldBeProvided says whether there is all that it takes for a session that is provided to be Ready, beside what that takes for others.
func (s *simulation) shouldBeProvided(session *v1alpha1.SeamClientSession) bool {
	q, b := s.question(session), s.seam.behaviour
	workspace, was := q.opens(), session.Status.WorkspaceID
	known := slices.Contains(append(simKeys, simTypos[0]), q.key)
	elsewhere := session.Spec.WorkspaceID == "" && was != "" && was != workspace
	changes := b.ExtendingChangesToken || b.Existing != seamtest.Returned || b.Ended != seamtest.Returned
	return workspace != "" && known && !elsewhere && b.Existing != seamtest.Doubled &&
		(!changes || !s.churns(session, &seamtest.Session{UserIdentifierKey: q.key}))
}

// checkProvided is invariant 6, for a session that is provided.
func (s *simulation) checkProvided(session *v1alpha1.SeamClientSession) {
	q, held := s.question(session), s.api.secret(session.SecretName())
	if !meta.IsStatusConditionTrue(session.Status.Conditions, v1alpha1.ConditionReady) || held == nil {
		s.violate(6, "%s is not Ready: %s, %s", session.Name, summary(&session.Status), provisioning(session))
		return
	}
	token := tokenIn(held)
	found, _ := s.seam.Session(s.seam.tokens[token])
	if truly := s.seam.truly(q); truly != nil && !truly.ExpiresAt.IsZero() && !truly.ExpiresAt.After(s.truth.Now()) {
		return // Seam returns another one, which has ended: that the one of the token is gone can't be found out
	}
	if found.RevokedAt.IsZero() && !s.seam.takes(token) || found.UserIdentifierKey != q.key || found.WorkspaceID != q.opens() {
		s.violate(6, "%s has the token %s, which is not good: %+v", session.Name, token, found)
	}
}

// checkProvidedResting is invariant 6, for a session that is provided: it costs no more calls than its lifetime makes necessary.
func (s *simulation) checkProvidedResting(session *v1alpha1.SeamClientSession, before simFacts) {
	facts, interval, life := s.facts(session.Name), simInterval, simLifetime(session.Spec.Provision)
	if session.Spec.RefreshInterval != nil {
		interval = session.Spec.RefreshInterval.Duration
	}
	if longest := s.seam.behaviour.MaxLifetime; longest > 0 {
		life = min(life, longest)
	}
	if found := s.seam.truly(s.question(session)); found == nil || !found.RevokedAt.IsZero() || !found.ExpiresAt.IsZero() && !found.ExpiresAt.After(s.truth.Now()) {
		return // Seam returns another one, which has ended: the one that is extended can't be found
	}
	provides, most := facts.provides-before.provides, int(simResting/(life/3))+2
	calls, mostCalls := facts.calls-before.calls, int(simResting/(interval*9/10))+2+6*provides
	if s.churns(session, &seamtest.Session{UserIdentifierKey: s.question(session).key}) {
		mostCalls += 2 * most // it is looked at, before its end, ever more often until another one extends it
	}
	if statuses := facts.statuses - before.statuses; provides > most || calls > mostCalls || statuses > calls+2 { // a token that is another's begins to expire, and ends
		s.violate(6, "%s at rest was provided %d times instead of %d, with %d calls instead of %d, and its status written %d times",
			session.Name, provides, most, calls, mostCalls, statuses)
	}
}

// provisioning is what a status says of making and extending a session.
func provisioning(session *v1alpha1.SeamClientSession) string {
	if session == nil {
		return "nothing"
	}
	encoded, _ := json.Marshal([]any{session.Status.Provisioning, session.Status.Provisioned})
	return string(encoded)
}
