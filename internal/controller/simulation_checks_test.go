package controller

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

const (
	// simApart is the least time between two calls for one object, and simRest that between calls with a credential that Seam
	// has refused. Times are kept in whole seconds: each may seem a second longer than it was.
	simApart, simRest = 5*time.Second - time.Second, time.Minute - time.Second
	// simProof is how far apart, likewise, two answers must be to prove that there is no such session any more.
	simProof = time.Minute - time.Second
	// simRead is how long the operator may take to read a Secret that sessions refer to, which it does not watch.
	simRead = 6 * time.Second
	// simNoticed is how long the operator may take to notice that its clock was set.
	simNoticed = 11 * time.Minute
	// simInterval is the default of refreshInterval.
	simInterval = time.Hour
	// simSettling is how long an object may take to become Ready once all is well, and simResting how long it is then watched.
	simSettling, simResting = simInterval + 20*time.Minute, 3 * time.Hour
)

// never is when a token ends that has no end.
var never = dawn.AddDate(1000, 0, 0)

// simChecks is what the invariants are checked by.
type simChecks struct {
	objects map[string]*simFacts
	written map[string]*simWritten // by the name of the Secret
	holds   map[simHold]time.Time
	// checked is when Seam was last asked, by mono, which workspace the credential of the SeamWorkspace is of, and checkedWith
	// that credential.
	checked     time.Time
	checkedWith string
	// jumpedAt is when the operator's clock was last set: by mono, and clockSetAt by truth.
	jumpedAt, clockSetAt time.Time
	// referenceAt is when a Secret that sessions refer to was last changed, by mono.
	referenceAt time.Time
	simMakers
}

func newSimChecks() simChecks {
	return simChecks{
		objects: map[string]*simFacts{}, written: map[string]*simWritten{}, holds: map[simHold]time.Time{}, simMakers: newSimMakers(),
	}
}

// simFacts is what is known of one object from outside.
type simFacts struct {
	words []*simWord
	// unsaved says that the status does not say yet what the operator knows.
	unsaved bool
	// lastCall is when Seam was last asked, by mono, and lastWall by the operator's clock; zero where the operator can't know.
	lastCall, lastWall time.Time
	// calls and writes, of the status and of Secrets, were made.
	calls, statuses, secrets int
	budgets                  [3]simBudget // of calls, reconciles, and calls that change something or prepare that
	simProvided
}

// simWritten is what the operator last wrote into a Secret, and for whom.
type simWritten struct {
	by    string
	uid   types.UID
	spec  v1alpha1.SeamClientSessionSpec
	token string
	ends  *time.Time
	held  *corev1.Secret
	// unheard says that the operator was told that the write had failed.
	unheard bool
	noted   bool // the status has told of the token's session: without that, nobody knows by which request it came
}

// simBudget is a bucket that fills with time, and with what happens, and must never be empty.
type simBudget struct {
	left float64
	at   time.Time
}

func (b *simBudget) spend(now time.Time, period time.Duration) bool {
	b.left = min(200, b.left+float64(now.Sub(b.at))/float64(period)) - 1
	b.at = now
	return b.left >= 0
}

func (s *simulation) facts(name string) *simFacts {
	if s.objects[name] == nil {
		s.objects[name] = &simFacts{}
		s.objects[name].caused(4)
	}
	return s.objects[name]
}

// caused notes that something has happened which may cost calls and writes.
func (f *simFacts) caused(n float64) {
	f.budgets[0].left += 2 * n
	f.budgets[1].left += 10 * n
	f.budgets[2].left += 2 * n
}

func (s *simulation) caused() {
	for _, name := range simSessions {
		s.facts(name).caused(2)
	}
	s.facts(simWorkspace).caused(2)
}

// jumped notes that the operator's clock is not what it was, and restarted that it has forgotten what it did not write down.
func (s *simulation) jumped() {
	s.jumpedAt, s.clockSetAt = s.mono.Now(), s.truth.Now()
	s.restarted()
}

func (s *simulation) restarted() {
	clear(s.holds)
	s.checked = time.Time{}
	s.caused()
	for _, name := range simSessions {
		s.facts(name).lastCall = time.Time{}
	}
}

// awake says whether the operator must have noticed that its clock was set.
func (s *simulation) awake() bool { return s.mono.Now().Sub(s.jumpedAt) > simNoticed }

// asking checks that a call may be made now.
func (s *simulation) asking(call *simCall) {
	name, now, wall := call.attempt.name, s.mono.Now(), s.wall.Now()
	facts := s.facts(name)
	if name == simWorkspace {
		s.askingWorkspace(call)
		return
	}
	if call.path != getPath || call.attempt.terminates() {
		s.askingToChange(call)
		return
	}
	s.checkGranted(call.attempt, call.question, "is fetched")
	if call.question.byWorkspace() && !s.calm && s.chance(10) { // before the answer comes
		s.plans = append(s.plans, simPlan{now, func() string { return "platform: " + s.changesWorkspace() }})
	}
	s.tracef("  %s asks for %v", name, call.question)
	if gap := now.Sub(facts.lastCall); gap < simApart && !facts.endedBetween(facts.lastWall, wall.Add(time.Second)) || call.attempt.asked {
		s.violate(4, "%s is fetched again after %s", name, gap)
	}
	if pause := s.held(call); pause > 0 {
		s.violate(4, "%s is fetched with a credential that must not be used for another %s", name, pause)
	}
	period := 50 * time.Second
	if session := s.api.session(name); session != nil && session.Spec.RefreshInterval != nil {
		period = min(period, session.Spec.RefreshInterval.Duration*9/10)
	}
	if !facts.budgets[0].spend(now, period) {
		s.violate(4, "%s is fetched too often", name)
	}
	facts.calls++
	facts.budgets[1].left += 6
	facts.unsaved, call.attempt.asked = true, true
	facts.lastCall, facts.lastWall = now, wall
}

// endedBetween says whether a token that Seam gave for the object has ended between two readings of the operator's clock.
func (f *simFacts) endedBetween(from, to time.Time) bool {
	return slices.ContainsFunc(f.words, func(w *simWord) bool { return w.ends != nil && w.ends.After(from) && !w.ends.After(to) })
}

// simHold is a credential that is not to be used, for a path or for all.
type simHold struct{ credential, workspace, path string }

// held is for how long a call must not be made.
func (s *simulation) held(call *simCall) time.Duration {
	hold := simHold{call.question.credential, call.question.workspace, ""}
	until := s.holds[hold]
	hold.path = call.path
	if paused := s.holds[hold]; paused.After(until) {
		until = paused
	}
	return until.Sub(s.mono.Now())
}

// holdBack notes that Seam does not want to be asked with a credential for a while.
func (s *simulation) holdBack(call *simCall) {
	credential, pause := simHold{call.question.credential, call.question.workspace, ""}, call.response.Header().Get("Retry-After")
	switch {
	case call.attempt.by != s.operator: // who runs by now has not been told
	case call.response.Code == http.StatusUnauthorized && call.path == simEventsPath: // which the credential may not be let to read
	case call.response.Code == http.StatusUnauthorized && (call.path == getOrCreatePath || call.path == deletePath): // likewise
		credential.path = call.path
		s.holds[credential] = s.facts(call.attempt.name).lastCall.Add(simRest)
	case call.response.Code == http.StatusUnauthorized:
		s.holds[credential] = s.facts(call.attempt.name).lastCall.Add(simRest)
	case call.response.Code == http.StatusTooManyRequests && pause != "": // of this kind of requests
		credential.path = call.path
		if seconds, err := strconv.Atoi(pause); err == nil { // a date is by Seam's clock, which is not the operator's
			s.holds[credential] = s.mono.Now().Add(time.Duration(seconds-1) * time.Second)
		}
		s.caused() // whoever shares the credential learns of it
	}
}

// began and checkAttempt surround every reconcile.
func (s *simulation) began(name string) {
	if !s.facts(name).budgets[1].spend(s.mono.Now(), 4*time.Second) {
		s.violate(4, "%s is reconciled too often", name)
	}
}

func (s *simulation) checkAttempt(attempt *simAttempt, err error) {
	facts := s.facts(attempt.name)
	if err != nil || attempt.failed {
		facts.unsaved = true
		facts.caused(1)
	} else {
		facts.unsaved = false
		facts.save(attempt.by)
	}
	if attempt.writes > 6 {
		s.violate(4, "a reconcile of %s made %d writes", attempt.name, attempt.writes)
	}
	if workspace := s.api.workspace(); attempt.name == simWorkspace && workspace != nil {
		status, err := json.Marshal(workspace.Status)
		s.must(err)
		s.says("status", string(status))
	}
	if session := s.api.session(attempt.name); session != nil {
		status, err := json.Marshal(session.Status)
		s.must(err)
		s.says("status", string(status))
	}
}

// says is invariant 5, for all that the operator shows anywhere.
func (s *simulation) says(prefix, line string) {
	if strings.Contains(prefix+line, hush) {
		s.violate(5, "a secret shows: %s %s", prefix, line)
	}
}

// save notes that a process has written down what it was told.
func (f *simFacts) save(by *simOperator) {
	for _, w := range f.words {
		w.saved = w.saved || w.by == by && !w.lost
	}
	f.tried.saved = f.tried.saved || f.tried.by == by
}

// wrote checks a write of the operator that took effect.
func (s *simulation) wrote(attempt *simAttempt, verb string, before, after client.Object) {
	if before != nil && after != nil {
		same := after.DeepCopyObject().(client.Object)
		if same.SetResourceVersion(before.GetResourceVersion()); reflect.DeepEqual(before, same) {
			s.violate(4, "a write for %s changes nothing", attempt.name)
		}
	}
	if workspace, ok := after.(*v1alpha1.SeamWorkspace); ok {
		s.wroteWorkspace(before.(*v1alpha1.SeamWorkspace), workspace)
		return
	}
	if before, ok := before.(*v1alpha1.SeamClientSession); ok && (verb != "patch status" || after == nil) {
		s.wroteFinalizer(attempt, before, after)
		return
	}
	if session, ok := after.(*v1alpha1.SeamClientSession); ok {
		s.wroteStatus(attempt, before.(*v1alpha1.SeamClientSession), session)
		return
	}
	s.wroteSecret(attempt, verb, before, after)
}

// wroteStatus checks a write of a session's status.
func (s *simulation) wroteStatus(attempt *simAttempt, before, session *v1alpha1.SeamClientSession) {
	facts, was := s.facts(attempt.name), before.Status
	s.noteRequest(session)
	if attempt.word != nil && attempt.word.kind > simGone &&
		(was.ClientSessionID != session.Status.ClientSessionID || !was.ExpiresAt.Equal(session.Status.ExpiresAt)) {
		s.checkGranted(attempt, attempt.word.question, "says in its status what it was told")
	}
	if w := s.written[session.SecretName()]; w != nil && w.by == session.Name {
		w.noted = w.noted || session.Status.ClientSessionID == s.seam.tokens[w.token]
	}
	facts.statuses++
	facts.save(attempt.by)
	s.tracef("    %s", summary(&session.Status))
}

// wroteSecret checks a write of a Secret.
func (s *simulation) wroteSecret(attempt *simAttempt, verb string, before, after client.Object) {
	name := attempt.name
	s.facts(name).secrets++
	if before != nil {
		s.checkOwner(name, verb, before.(*corev1.Secret))
		s.checkNotLost(attempt, before.(*corev1.Secret), after)
	}
	secret := nonNil(after, before).GetName()
	former := s.written[secret]
	delete(s.written, secret)
	if held, ok := after.(*corev1.Secret); ok {
		w := &simWritten{by: name, token: tokenIn(held), held: held}
		if former != nil && former.token == w.token {
			w.ends, w.noted = former.ends, former.noted
		}
		if live := s.api.session(name); live != nil && live.Status.ClientSessionID == s.seam.tokens[w.token] {
			w.noted = true
		}
		if word := attempt.word; word != nil {
			if was, ok := before.(*corev1.Secret); w.token == word.token && (!ok || tokenIn(was) != w.token) {
				s.checkGranted(attempt, word.question, "is given a token")
			}
			if w.token == word.token {
				w.ends = word.ends
			}
			word.lost, word.saved = false, true
		}
		if session := attempt.session; session != nil { // an edit that comes during the reconcile may come too late for it
			w.uid, w.spec = session.UID, asked(session)
		}
		s.written[secret] = w
	}
}

// seen is an object as the operator's cache shows it.
func (s *simulation) seen(attempt *simAttempt) *v1alpha1.SeamClientSession {
	session, _ := attempt.by.cache[simKey{kindSession, attempt.name}].(*v1alpha1.SeamClientSession)
	return session
}

// asked is the part of a spec that says what is to be in the Secret.
func asked(session *v1alpha1.SeamClientSession) v1alpha1.SeamClientSessionSpec {
	spec := *session.Spec.DeepCopy()
	spec.Provision = nil
	spec.RefreshInterval, spec.RenewBefore, spec.Suspend, spec.Secret.RetentionPolicy.WhenSessionEnds = nil, nil, false, ""
	spec.Secret.Name = session.SecretName()
	if spec.Secret.RetentionPolicy.WhenDeleted == "" {
		spec.Secret.RetentionPolicy.WhenDeleted = v1alpha1.RetentionDelete
	}
	return spec
}

// summary is what a status says, for the trace.
func summary(status *v1alpha1.SeamClientSessionStatus) string {
	said := ""
	for _, condition := range status.Conditions {
		said += condition.Type + "=" + string(condition.Status) + " (" + condition.Reason + ") "
	}
	if made := status.Provisioned; made != nil {
		said += fmt.Sprintf("made %s and %v, asked at %v, now ", made.ClientSessionID, made.FormerClientSessionIDs, made.RequestedTime)
	}
	return fmt.Sprintf("%s%s until %v, next %v", said, status.ClientSessionID, status.ExpiresAt, status.NextFetchTime)
}

// checkOwner is invariant 3, for a Secret that was there.
func (s *simulation) checkOwner(name, verb string, before *corev1.Secret) {
	session := s.api.session(name)
	if session != nil && (ownedBy(before, session) || verb == "update" && adoptable(before, session)) || session == nil {
		return
	}
	s.violate(3, "%s of Secret %s, which is not of %s: annotations %v", verb, before.Name, name, before.Annotations)
}

// ownedBy says whether a Secret is an object's: by its owner, or, without one, by its word.
func ownedBy(held *corev1.Secret, session *v1alpha1.SeamClientSession) bool {
	controller := metav1.GetControllerOf(held)
	return controller != nil && controller.UID == session.UID ||
		held.Annotations[v1alpha1.AnnotationSession] == session.Name && (controller == nil || controller.Name == session.Name)
}

func adoptable(held *corev1.Secret, session *v1alpha1.SeamClientSession) bool {
	return metav1.GetControllerOf(held) == nil && held.Annotations[v1alpha1.AnnotationAdoptBy] == session.Name
}

// checkNotLost is invariant 1. The operator has put after in the place of before.
func (s *simulation) checkNotLost(attempt *simAttempt, before *corev1.Secret, after client.Object) {
	lost, session := tokenIn(before), s.seen(attempt)
	if !s.seam.takes(lost) || session == nil {
		return
	}
	held, replaced := after.(*corev1.Secret)
	if !replaced {
		s.checkRemoval(session, before.Name, lost)
		return
	}
	switch word := attempt.word; {
	case tokenIn(held) == lost: // beside which labels or the like were restored
	case word == nil || word.token == "" || tokenIn(held) != word.token:
		s.violate(1, "the good token %s is replaced in Secret %s by %q, which Seam has not just given", lost, held.Name, tokenIn(held))
	case !word.fresh && !word.skewed && !word.lie, attempt.by != s.operator && !word.skewed && !s.seam.takes(word.token):
		s.violate(1, "the good token %s is replaced in Secret %s by %s, which is not good", lost, held.Name, word.token)
	}
}

// checkRemoval is invariant 1, where a Secret with a good token is deleted.
func (s *simulation) checkRemoval(session *v1alpha1.SeamClientSession, name, lost string) {
	retention, stands := session.Spec.Secret.RetentionPolicy, s.written[session.SecretName()]
	if name != session.SecretName() {
		if stands == nil || stands.by != session.Name || retention.WhenDeleted == v1alpha1.RetentionRetain {
			s.violate(1, "the former Secret %s with the good token %s is deleted", name, lost)
		}
		return
	}
	facts := s.facts(session.Name)
	over := s.against(facts, lost, stands) != nil && facts.words[len(facts.words)-1].over(stands) // whoever made it last longer since
	if retention.WhenSessionEnds != v1alpha1.RetentionDelete || !over && !s.proven(facts, lost, stands, false) {
		s.violate(1, "Secret %s with the good token %s is deleted, and nothing proves that its session has ended", name, lost)
	}
}

// proven says whether Seam's last words to an object prove that the session of a token has ended: they answer the question that the token
// came from. Whoever must know that may not count on what could not be told.
func (s *simulation) proven(f *simFacts, token string, written *simWritten, must bool) bool {
	first := s.against(f, token, written)
	return first != nil && f.cameFrom(s.operator, token, first.question, must)
}

// against is the first of Seam's last words to an object if they are against the session of a token: at least two, a minute apart, to
// one question, and nothing else in between.
func (s *simulation) against(f *simFacts, token string, written *simWritten) *simWord {
	var last, first *simWord
	for _, w := range slices.Backward(f.known(s.operator)) {
		against := w.against(s.seam.tokens[token], written)
		switch {
		case last == nil && !against, last != nil && (w.question != last.question || w.kind == simGood):
			if last == nil || last.at.Sub(first.at) < simProof {
				return nil
			}
			return first
		case against && last == nil:
			last, first = w, w
		case against:
			first = w
		}
	}
	return nil
}

// against says whether Seam says that a session is no more. Where its token has ended by what Seam said when it was written, an ended
// session of the same user says so too.
func (w *simWord) against(id string, written *simWritten) bool {
	return w.kind == simGone || w.kind == simEnded && !w.skewed && (w.id == id || w.over(written))
}

// over says whether a token had ended by what Seam said when it was written.
func (w *simWord) over(written *simWritten) bool {
	return written != nil && written.ends != nil && written.ends.Before(w.at.Add(simSkew))
}

// cameFrom says whether a token was last given in answer to a question, be it as that of a session that has ended, and no other question
// has been answered since: whoever tried another spec in between no longer knows by which request a token came. Whoever must know that
// may not count on an answer that ended the session, nor on one that could not be told.
func (f *simFacts) cameFrom(by *simOperator, token string, question simQuestion, must bool) bool {
	for _, w := range slices.Backward(f.known(by)) {
		same := w.question == question
		switch {
		case w.kind != simGood && (must && same || w.kind != simEnded), w.ungranted && (must || !same):
		case w.token == token, !same:
			return same
		}
	}
	return false
}

// known is what Seam has said that a process can know.
func (f *simFacts) known(by *simOperator) []*simWord {
	return slices.DeleteFunc(slices.Clone(f.words), func(w *simWord) bool { return w.lost || !w.saved && w.by != by })
}

// tokenIn returns the token that a Secret holds, whatever its template; empty if none.
func tokenIn(held *corev1.Secret) string {
	for _, key := range slices.Sorted(maps.Keys(held.Data)) {
		if bytes.HasPrefix(held.Data[key], []byte(simTokenPrefix)) {
			return string(held.Data[key])
		}
	}
	return ""
}

// checkAll is invariant 2, for every object that the operator is not about to do something for.
func (s *simulation) checkAll() {
	if s.violation != "" || !s.operator.fresh() || s.brokenWrites > 0 || !s.awake() {
		return
	}
	for _, name := range s.api.names(kindSession) {
		if session := s.api.session(name); session.DeletionTimestamp == nil && s.idle(session) {
			s.checkTruth(session)
		}
	}
}

// idle says whether the operator has nothing to do for an object now, and has written down what it knows.
func (s *simulation) idle(session *v1alpha1.SeamClientSession) bool {
	at, queued := s.operator.queue.times()[session.Name]
	return s.operator.busy[session.Name] == nil && s.operator.failures[session.Name] == 0 && !s.facts(session.Name).unsaved &&
		(!queued || at.After(s.mono.Now()))
}

// unwritable says whether what Seam last said of a token, such as that it ends earlier, could not be written down: its Secret can't be.
func unwritable(session *v1alpha1.SeamClientSession) bool {
	synced := meta.FindStatusCondition(session.Status.Conditions, v1alpha1.ConditionSynced)
	return session.Status.FailedWrites > 0 ||
		synced != nil && (synced.Reason == v1alpha1.ReasonSecretConflict || synced.Reason == v1alpha1.ReasonSecretWriteFailed)
}

// lastSecret is a Secret as it is, or as it last was before it was deleted; nil if there never was one.
func (s *simulation) lastSecret(name string) *corev1.Secret {
	if held := s.api.secret(name); held != nil {
		return held
	}
	for _, change := range slices.Backward(s.api.history[kindSecret]) {
		if before, ok := change.before.(*corev1.Secret); ok && before.Name == name {
			return before
		}
	}
	return nil
}

func (s *simulation) checkTruth(session *v1alpha1.SeamClientSession) {
	held, w := s.api.secret(session.SecretName()), s.written[session.SecretName()]
	if last := s.lastSecret(session.SecretName()); session.Spec.Suspend && last != nil && last.Labels[v1alpha1.LabelManagedBy] != v1alpha1.ManagedBy {
		return // nobody watches it, nor puts that right
	}
	why, good := s.judgeHeld(session, held, w)
	ready := meta.IsStatusConditionTrue(session.Status.Conditions, v1alpha1.ConditionReady)
	if ready && why != "" && !unwritable(session) {
		s.violate(2, "%s is Ready, and %s: %s", session.Name, why, summary(&session.Status))
	}
	unheard := w != nil && w.unheard && session.Status.FailedWrites > 0 // and it has had no other answer since
	if !ready && good && !unheard && len(session.Status.Conditions) > 0 && w.uid == session.UID && untouched(w.held, held) {
		s.violate(2, "%s is not Ready, and its Secret holds a good token: %s", session.Name, summary(&session.Status))
	}
}

// judgeHeld says that of what is in the Secret of a session, w being what was written there.
func (s *simulation) judgeHeld(session *v1alpha1.SeamClientSession, held *corev1.Secret, w *simWritten) (why string, good bool) {
	switch {
	case held == nil || tokenIn(held) == "":
		return "there is no token in its Secret", false
	case w == nil || w.by != session.Name || !reflect.DeepEqual(w.held.Data, held.Data):
		return "what is in its Secret was not written for it", false
	case !reflect.DeepEqual(w.spec, asked(session)):
		return "the token in its Secret is not for its spec", false
	}
	return s.judge(s.facts(session.Name), w)
}

// judge says why a token can't be used, and whether nothing at all speaks against it. It may be neither.
func (s *simulation) judge(facts *simFacts, w *simWritten) (why string, good bool) {
	earliest, latest := s.ends(facts, w)
	known, now := facts.known(s.operator), s.wall.Now()
	switch {
	case latest != nil && !latest.After(now.Add(-time.Second)):
		return "its token has ended", false
	case w.noted && s.proven(facts, w.token, w, true) && known[len(known)-1].kind == simGone && !s.endedButByTheClock(w):
		return "Seam has said for a minute that there is no such session", false
	}
	return "", (w.ends == nil || w.ends.After(now)) && s.seam.takes(w.token) && !facts.doubted(s.operator, s.seam.tokens[w.token]) && (earliest == nil || earliest.After(now))
}

// endedButByTheClock says whether a token has ended by what Seam said when it was written, and has not by a clock that was set back: it may
// then be another session that Seam says is no more.
func (s *simulation) endedButByTheClock(w *simWritten) bool {
	return w.ends != nil && !w.ends.After(s.truth.Now()) && w.ends.After(s.wall.Now())
}

// ends are the earliest and the latest end that the operator may believe a token to have: Seam's last word, or, where that was
// not true, or was of an end that had come by a clock that was wrong then or was set since, also the last other one. Nil is never.
func (s *simulation) ends(f *simFacts, w *simWritten) (earliest, latest *time.Time) {
	told := []*time.Time{}
	for _, word := range slices.Backward(f.known(s.operator)) {
		if word.token != w.token {
			continue
		}
		if told = append(told, word.ends); !word.lie && !word.ungranted && !word.skewed && (word.kind != simEnded || word.at.After(s.clockSetAt)) {
			return extremes(told)
		}
	}
	return extremes(append(told, w.ends))
}

func extremes(times []*time.Time) (earliest, latest *time.Time) {
	order := func(a, b *time.Time) int { return ptr.Deref(a, never).Compare(ptr.Deref(b, never)) }
	return slices.MinFunc(times, order), slices.MaxFunc(times, order)
}

// doubted says whether Seam has spoken against a session since it last gave it.
func (f *simFacts) doubted(by *simOperator, id string) bool {
	doubts := []simQuestion{}
	for _, w := range slices.Backward(f.known(by)) {
		switch {
		case w.ungranted && w.kind == simGood:
		case w.kind == simGood && !w.ended():
			return slices.Contains(doubts, w.question)
		case w.kind == simGone || w.kind > simGone && w.id == id: // which had ended, by the operator's clock or Seam's
			doubts = append(doubts, w.question)
		}
	}
	return len(doubts) > 0
}

// untouched says whether what says what a token is, and whose, is as it was written. Labels say nothing of that.
func untouched(written, held *corev1.Secret) bool {
	return held.Immutable == nil && reflect.DeepEqual(written.Annotations, held.Annotations) && reflect.DeepEqual(written.OwnerReferences, held.OwnerReferences)
}

// checkRest is invariant 7: a reconcile for nothing does nothing.
func (s *simulation) checkRest() {
	names := s.api.names(kindSession)
	if len(names) == 0 || s.violation != "" || s.brokenWrites > 0 || !s.operator.fresh() || !s.awake() || len(s.calls) > 0 {
		return
	}
	session := s.api.session(pick(s, names...))
	if !s.rests(session) || s.mono.Now().Sub(s.referenceAt) < simRead {
		return
	}
	s.tracef("  for nothing:")
	facts := s.facts(session.Name)
	calls, writes := facts.calls, facts.statuses+facts.secrets
	facts.budgets[1].left++
	s.operator.reconcile(session.Name)
	if facts.calls != calls || facts.statuses+facts.secrets != writes {
		s.violate(7, "a reconcile of %s for nothing asks or writes: %s", session.Name, summary(&s.api.session(session.Name).Status))
	}
}

// rests says whether there is nothing to do for a session.
func (s *simulation) rests(session *v1alpha1.SeamClientSession) bool {
	held, w, next := s.api.secret(session.SecretName()), s.written[session.SecretName()], session.Status.NextFetchTime
	if made, last := session.Status.Provisioning, session.Status.LastAttemptTime; made != nil && made.NotBefore != nil && last != nil &&
		last.Before(made.NotBefore) && !made.NotBefore.After(s.wall.Now()) {
		return false // by a clock that was ahead then, so that the operator did not wait for it
	}
	return session.DeletionTimestamp == nil && s.idle(session) && next != nil && next.After(s.wall.Now()) &&
		held != nil && w != nil && reflect.DeepEqual(w.held, held)
}

// settle is invariant 6: faults end, and after a while everything is as it should be, and stays so.
func (s *simulation) settle() {
	if s.violation != "" {
		return
	}
	s.tracef("all faults end")
	s.calm, s.brokenWrites, s.behind = true, 0, 0
	for _, plan := range s.plans {
		s.tracef("  %s", plan.do())
	}
	s.plans = nil
	s.behavesWell()
	heals(s, seamtest.Session{})
	s.seam.addCredentials()
	s.wall.SetTime(s.truth.Now())
	s.jumped()
	s.api.collectGarbage()
	s.run(simSettling)
	before, workspace := map[string]simFacts{}, *s.facts(simWorkspace)
	for _, name := range s.api.names(kindSession) {
		session := s.api.session(name)
		if s.violation == "" {
			s.checkUngranted(session)
		}
		if s.violation == "" && s.shouldBeReady(session) {
			s.checkSettled(session)
			before[name] = *s.facts(name)
		}
	}
	s.checkRest()
	s.checkGone()
	s.run(simResting)
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if s.violation == "" {
			s.checkResting(s.api.session(name), before[name])
		}
	}
	s.checkWorkspaceResting(workspace)
	s.checkFarewells()
	s.checkDeletion()
}

// writable says whether the Secret of a session can be written.
func (s *simulation) writable(session *v1alpha1.SeamClientSession) bool {
	for _, template := range session.Spec.Secret.Template {
		if template == simBadTemplate {
			return false
		}
	}
	held := s.api.secret(session.SecretName())
	return held == nil || (ownedBy(held, session) || adoptable(held, session)) &&
		string(held.Type) == session.Spec.Secret.Type && (held.Immutable == nil || !*held.Immutable)
}

// shouldBeReady says whether there is all that it takes for a session to be Ready now and for long.
func (s *simulation) shouldBeReady(session *v1alpha1.SeamClientSession) bool {
	found := s.seam.truly(s.question(session))
	if session.DeletionTimestamp != nil || session.Spec.Suspend || !s.writable(session) || !s.granted(s.operator, s.question(session), session.Spec.Provision) {
		return false
	}
	if session.Spec.Provision != nil {
		return s.shouldBeProvided(session)
	}
	return found != nil && !s.churns(session, found) && (found.ExpiresAt.IsZero() || found.ExpiresAt.After(s.truth.Now().Add(4*24*time.Hour)))
}

func (s *simulation) checkSettled(session *v1alpha1.SeamClientSession) {
	held, want := s.api.secret(session.SecretName()), s.seam.truly(s.question(session))
	switch {
	case !meta.IsStatusConditionTrue(session.Status.Conditions, v1alpha1.ConditionReady) || session.Status.ObservedGeneration != session.Generation:
		s.violate(6, "%s is not Ready: %s, %s", session.Name, summary(&session.Status), provisioning(session))
	case session.Spec.Provision != nil:
		s.checkProvided(session)
	case held == nil || tokenIn(held) != want.Token:
		s.violate(6, "%s has not the token %s in its Secret", session.Name, want.Token)
	}
	for _, name := range s.api.names(kindSecret) {
		if left := s.api.secret(name); name != session.SecretName() && metav1.IsControlledBy(left, session) &&
			left.Labels[v1alpha1.LabelManagedBy] == v1alpha1.ManagedBy && // else nobody can find it
			session.Spec.Secret.RetentionPolicy.WhenDeleted != v1alpha1.RetentionRetain {
			s.violate(6, "%s has left Secret %s behind", session.Name, name)
		}
	}
}

func (s *simulation) checkResting(session *v1alpha1.SeamClientSession, before simFacts) {
	facts, interval := s.facts(session.Name), simInterval
	if session.Spec.Provision != nil {
		s.checkProvided(session)
		s.checkProvidedResting(session, before)
		return
	}
	if session.Spec.RefreshInterval != nil {
		interval = session.Spec.RefreshInterval.Duration
	}
	calls, most := facts.calls-before.calls, int(simResting/(interval*9/10))+1
	if statuses := facts.statuses - before.statuses; calls > most || statuses > calls || facts.secrets > before.secrets {
		s.violate(6, "%s at rest was fetched %d times instead of %d, its status written %d times, its Secret %d times",
			session.Name, calls, most, statuses, facts.secrets-before.secrets)
	}
}
