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
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
	"github.com/seam-session-operator/seam-session-operator/internal/secret"
)

const (
	// simSettling is how long an object may take to become Ready once all is well: the longest interval, the longest sleep,
	// and some retries.
	simSettling = time.Hour + 2*longestSleep
	// simResting is how long it is then watched.
	simResting = 3 * time.Hour
)

// simChecks is what the invariants are checked by.
type simChecks struct {
	objects map[string]*simFacts
	// holds says until when, by timers' time, no call may be made with a credential.
	holds map[string]time.Time
	// changedReferences is when a Secret that sessions refer to was last changed.
	changedReferences time.Time
	// jumpedAt is when the operator's clock was last set.
	jumpedAt time.Time
}

func newSimChecks() simChecks {
	return simChecks{objects: map[string]*simFacts{}, holds: map[string]time.Time{}}
}

// simFacts is what is known of one object from outside.
type simFacts struct {
	// told is when the tokens that Seam gave for the object end, by its last word; pending is what the operator has not
	// written to the status yet.
	told, pending map[string]*time.Time
	// pace is how often the last answer allows to ask again, if that is said: after a 401 and a 429.
	pace time.Duration
	// goneSince is when Seam began to say that there is no such session, without an answer of another kind since.
	goneSince time.Time
	// cause says that something has happened since the last call that may be a cause for another; disturbed that something
	// has since the last reconcile.
	cause, disturbed bool
	lastCall         time.Time // by timers' time
	calls            int
	writes           map[string]int // by kind
	// unsaved says that the last status was not taken by the API server; troubled that a request in the last reconcile
	// was not answered as it should.
	unsaved, troubled bool
	// budgets bound what happens without a cause.
	callBudget, writeBudget, workBudget simBudget
}

// simBudget is a bucket that fills with time and causes, and must never be empty.
type simBudget struct {
	left float64
	at   time.Time
}

func (b *simBudget) spend(now time.Time, period time.Duration, most float64) bool {
	b.left = min(most, b.left+float64(now.Sub(b.at))/float64(period)) - 1
	b.at = now
	return b.left >= 0
}

func (s *simulation) facts(name string) *simFacts {
	if s.objects[name] == nil {
		s.objects[name] = &simFacts{told: map[string]*time.Time{}, pending: map[string]*time.Time{}, writes: map[string]int{}}
		s.objects[name].caused()
	}
	return s.objects[name]
}

// caused notes that something happened which may cost calls and writes.
func (f *simFacts) caused() {
	f.cause, f.disturbed = true, true
	f.callBudget.left += 10
	f.writeBudget.left += 20
	f.workBudget.left += 40
}

// jumped notes that the operator's clock is not what it was.
func (s *simulation) jumped() {
	s.jumpedAt = s.mono.Now()
	s.concerns(simSessions...)
	clear(s.holds)
}

// restarted notes that the operator has forgotten what it did not write down.
func (s *simulation) restarted() {
	clear(s.holds)
	for _, name := range simSessions {
		facts := s.facts(name)
		clear(facts.pending)
		session := s.api.session(name)
		if facts.unsaved || session != nil && session.Status.NextFetchTime == nil { // what that waits for may have come
			facts.caused()
		}
		facts.workBudget.left += 10
	}
}

// simAnswer is an answer of Seam, as far as it is one.
type simAnswer struct {
	status int
	ok     bool
	ID     string     `json:"client_session_id"`
	Token  string     `json:"token"`
	Ends   *time.Time `json:"expires_at"`
	Key    string     `json:"user_identifier_key"`
	Space  string     `json:"workspace_id"`
	Type   string
}

func parseAnswer(status int, body []byte) *simAnswer {
	var read struct {
		OK      *bool      `json:"ok"`
		Session *simAnswer `json:"client_session"`
		Error   struct {
			Type string `json:"type"`
		} `json:"error"`
	}
	answer := &simAnswer{}
	if len(body) < 1<<20 && json.Unmarshal(body, &read) == nil && status == http.StatusOK && read.Session != nil {
		answer = read.Session
		answer.ok = read.OK == nil || *read.OK
	}
	answer.status, answer.Type = status, read.Error.Type
	if answer.Ends != nil {
		answer.Ends = new(answer.Ends.Truncate(time.Second))
	}
	return answer
}

// gone says whether Seam says that there is no such session.
func (a *simAnswer) gone() bool {
	return a != nil && a.status == http.StatusNotFound && a.Type == "client_session_not_found"
}

// asking checks that a call may be made now.
func (s *simulation) asking(o *simOperator, credential string) {
	now, facts := s.mono.Now(), s.facts(o.current)
	facts.calls++
	gap := now.Sub(facts.lastCall)
	if gap <= 4*time.Second && !s.mayAskSoon(o.current, facts) {
		s.violate(4, "%s is asked for again after %s, and nothing has happened", o.current, gap)
	}
	if until, ok := s.holds[credential]; ok && now.Before(until) {
		s.violate(4, "%s is asked for with a credential that must not be used for another %s", o.current, until.Sub(now))
	}
	period := 4 * time.Minute
	if facts.pace > 0 {
		period = facts.pace
	}
	if session := s.api.session(o.current); session != nil && session.Spec.RefreshInterval != nil {
		period = min(period, session.Spec.RefreshInterval.Duration*9/10)
	}
	if !facts.callBudget.spend(now, period, 60) {
		s.violate(4, "%s is asked for too often", o.current)
	}
	facts.writeBudget.left += 3
	facts.workBudget.left += 4
	facts.cause, facts.lastCall = false, now
}

// mayAskSoon says whether there is a cause for a call so soon after the last one.
func (s *simulation) mayAskSoon(name string, facts *simFacts) bool {
	session := s.api.session(name)
	return facts.cause || session == nil || s.atEnd(session, facts) ||
		s.mono.Now().Sub(s.changedReferences) <= credentialTTL || // what it read may be as old as that
		!secret.Inspect(s.api.secret(session.SecretName()), session).Intact // which is put right a few times at once
}

// atEnd says whether the last call was before the end of the session, and this one is not: the one at the end may follow
// soon.
func (s *simulation) atEnd(session *v1alpha1.SeamClientSession, facts *simFacts) bool {
	if session.Status.ExpiresAt == nil {
		return false
	}
	since := s.wall.Now().Sub(session.Status.ExpiresAt.Time)
	return since >= 0 && since < s.mono.Now().Sub(facts.lastCall)+time.Second
}

// answered notes what Seam said.
func (s *simulation) answered(o *simOperator, credential string, response *simResponse) {
	answer, facts := parseAnswer(response.status, response.body.Bytes()), s.facts(o.current)
	o.answer, o.seamChanges = answer, s.seamChanges
	s.tracef("  %s is asked for: %d %s %s %s until %v", o.current, answer.status, answer.Type, answer.ID, answer.Token, answer.Ends)
	facts.pace = 0
	if !answer.gone() {
		facts.goneSince = time.Time{}
	} else if facts.goneSince.IsZero() {
		facts.goneSince = s.wall.Now()
	}
	clear(facts.pending)
	_, unreadable := strconv.Atoi(response.header.Get("Retry-After"))
	switch {
	case answer.ok && answer.Token != "":
		facts.pending[answer.Token] = answer.Ends
	case answer.status == http.StatusUnauthorized:
		facts.pace = time.Minute
		if s.mono.Now().Sub(s.changedReferences) <= watchRetry {
			break // a watch that is about to be made again forgives once more
		}
		s.holds[credential] = s.mono.Now().Add(facts.pace - time.Second)
	case answer.status == http.StatusTooManyRequests:
		for _, name := range simSessions { // whoever shares the credential learns of it
			s.facts(name).writeBudget.left += 2
			s.facts(name).workBudget.left += 4
		}
		facts.pace = 5 * time.Second // a date is of Seam's clock
		if unreadable != nil {
			break
		}
		facts.pace = 20 * time.Second
		s.holds[credential] = s.mono.Now().Add(facts.pace - time.Second)
	}
}

// began and ended surround every reconcile.
func (s *simulation) began(_ *simOperator, name string) {
	facts := s.facts(name)
	facts.troubled, facts.disturbed = false, false
	if !facts.workBudget.spend(s.mono.Now(), 45*time.Second, 200) {
		s.violate(4, "%s is reconciled too often", name)
	}
}

func (s *simulation) ended(o *simOperator, name string) {
	if o.writes > 5 {
		s.violate(4, "a reconcile of %s made %d writes", name, o.writes)
	}
	s.checkSecrecy(name)
}

// failedWrite notes that the operator does not know what it has written.
func (s *simulation) failedWrite(o *simOperator, kind string) {
	facts := s.facts(o.current)
	facts.writeBudget.left += 3
	facts.workBudget.left += 4
	facts.troubled = true
	if kind == kindSession {
		facts.unsaved = true
	}
}

// wrote checks a write of the operator that took effect.
func (s *simulation) wrote(o *simOperator, verb string, before, after client.Object) {
	name, facts := o.current, s.facts(o.current)
	facts.writes[kindOf(nonNil(before, after))]++
	if !facts.writeBudget.spend(s.mono.Now(), 5*time.Minute, 200) {
		s.violate(4, "too much is written for %s", name)
	}
	switch now := nonNil(after, before).(type) {
	case *v1alpha1.SeamClientSession:
		old, _ := before.(*v1alpha1.SeamClientSession)
		if reflect.DeepEqual(old.Status, now.Status) {
			s.violate(4, "a write of the status of %s changes nothing", name)
		}
		facts.unsaved = false
		s.tracef("    %s", summary(&now.Status))
		if !old.Status.LastFetchTime.Equal(now.Status.LastFetchTime) || !old.Status.ExpiresAt.Equal(now.Status.ExpiresAt) {
			maps.Copy(facts.told, facts.pending)
			clear(facts.pending)
		}
	case *corev1.Secret:
		old, _ := before.(*corev1.Secret)
		if verb == "delete" {
			now = nil
		}
		s.checkOwner(o, verb, old)
		s.checkNotLost(o, old, now)
		if old != nil && now != nil && reflect.DeepEqual(old.Data, now.Data) && reflect.DeepEqual(old.Annotations, now.Annotations) &&
			reflect.DeepEqual(old.Labels, now.Labels) && reflect.DeepEqual(old.OwnerReferences, now.OwnerReferences) {
			s.violate(4, "a write of Secret %s changes nothing", now.Name)
		}
	}
}

// summary is what a status says, for the trace.
func summary(status *v1alpha1.SeamClientSessionStatus) string {
	var said []string
	for _, condition := range status.Conditions {
		said = append(said, fmt.Sprintf("%s=%s (%s)", condition.Type, condition.Status, condition.Reason))
	}
	return fmt.Sprintf("%s %s until %s, next %s", strings.Join(said, " "), status.ClientSessionID, instant(status.ExpiresAt),
		instant(status.NextFetchTime))
}

func nonNil(a, b client.Object) client.Object {
	if a != nil {
		return a
	}
	return b
}

// checkOwner is invariant 3, for a Secret that was there.
func (s *simulation) checkOwner(o *simOperator, verb string, before *corev1.Secret) {
	if before == nil {
		return
	}
	session, _ := o.cache.get(kindSession, o.current).(*v1alpha1.SeamClientSession)
	controller := metav1.GetControllerOf(before)
	named := before.Annotations[v1alpha1.AnnotationSession]
	switch {
	case named == o.current && (controller == nil || controller.Name == o.current):
	case named == "" && controller != nil && session != nil && controller.UID == session.UID:
	case verb == "update" && before.Annotations[v1alpha1.AnnotationAdoptBy] == o.current && controller == nil:
	default:
		s.violate(3, "%s of Secret %s, which is not of %s: annotations %v", verb, before.Name, o.current, before.Annotations)
	}
}

// checkNotLost is invariant 1. The operator has put after in the place of before.
func (s *simulation) checkNotLost(o *simOperator, before, after *corev1.Secret) {
	session := s.api.session(o.current)
	if session == nil || before == nil || s.goodToken(session, before) == "" {
		return
	}
	lost, answer := s.goodToken(session, before), o.answer
	if after == nil {
		if !s.saidToEnd(o, answer) || session.Spec.Secret.RetentionPolicy.WhenSessionEnds != v1alpha1.RetentionDelete {
			s.violate(1, "Secret %s with the good token %s is deleted, and Seam did not say that it had ended", before.Name, lost)
		}
		return
	}
	now := tokenIn(after)
	switch {
	case now == "", answer == nil || now != answer.Token:
		s.violate(1, "the good token %s is replaced in Secret %s by %q, which Seam has not just given", lost, after.Name, now)
	case now != lost && !s.given(session, after) && !s.changedInCall(o):
		s.violate(1, "the good token %s is replaced in Secret %s by %s, which is not good", lost, after.Name, now)
	case after.Annotations[v1alpha1.AnnotationSpecHash] != before.Annotations[v1alpha1.AnnotationSpecHash]:
		s.violate(1, "Secret %s with a good token for the present spec is written for another spec", after.Name)
	}
}

// saidToEnd says whether by Seam's word the session has ended, or is gone and has been for a minute.
func (s *simulation) saidToEnd(o *simOperator, answer *simAnswer) bool {
	if answer.gone() {
		return s.wall.Now().Sub(s.facts(o.current).goneSince) >= time.Minute
	}
	return answer != nil && answer.ok && answer.Ends != nil && !answer.Ends.After(s.wall.Now())
}

// given says whether a Secret holds a token that Seam has for the present spec of a session.
func (s *simulation) given(session *v1alpha1.SeamClientSession, held *corev1.Secret) bool {
	token, _ := s.heldToken(session, held)
	return token != ""
}

// changedInCall says whether Seam has changed since the answer that is being written, and nobody could know.
func (s *simulation) changedInCall(o *simOperator) bool {
	return o == s.operator && o.seamChanges != s.seamChanges
}

// goodToken returns the token in a Secret if that is what Seam has for the present spec of a session, and has not ended, be
// it by Seam's clock or by the operator's.
func (s *simulation) goodToken(session *v1alpha1.SeamClientSession, held *corev1.Secret) string {
	token, ends := s.heldToken(session, held)
	if !ends.IsZero() && (!ends.After(s.truth.Now()) || !ends.Truncate(time.Second).After(s.wall.Now())) {
		return ""
	}
	return token
}

// heldToken returns the token in a Secret, and its end, if that is what Seam has for the present spec of a session.
func (s *simulation) heldToken(session *v1alpha1.SeamClientSession, held *corev1.Secret) (string, time.Time) {
	token := tokenIn(held)
	if token == "" || held.Name != session.SecretName() || held.Annotations[v1alpha1.AnnotationSession] != session.Name ||
		held.Annotations[v1alpha1.AnnotationSpecHash] != secret.SpecHash(session) {
		return "", time.Time{}
	}
	for n := range s.seamIDs {
		at, found := s.seam.Session(seamID(n))
		if found && at.Token == token && s.selects(session, at) {
			return token, at.ExpiresAt
		}
	}
	return "", time.Time{}
}

func (s *simulation) userKey() string {
	if found := s.api.secret("user"); found != nil {
		return strings.TrimRight(string(found.Data["key"]), "\n")
	}
	return ""
}

// tokenIn returns the token that a Secret holds, whatever its template; empty if none.
func tokenIn(held *corev1.Secret) string {
	for _, key := range slices.Sorted(maps.Keys(held.Data)) {
		if bytes.HasPrefix(held.Data[key], []byte("seam_cst_hush_")) {
			return string(held.Data[key])
		}
	}
	return ""
}

// checkSecrecy is invariant 5.
func (s *simulation) checkSecrecy(name string) {
	shown := append(s.logs.take(), s.events.take()...)
	if session := s.api.session(name); session != nil {
		status, err := json.Marshal(session.Status)
		s.must(err)
		shown = append(shown, string(status))
	}
	for _, text := range shown {
		if strings.Contains(text, hush) {
			s.violate(5, "a secret shows: %s", text)
		}
	}
}

// checkAll checks what must hold of every object that the operator is done with.
func (s *simulation) checkAll() {
	if s.violation != "" || !s.operator.fresh() {
		return
	}
	for _, name := range s.api.names(kindSession) {
		facts := s.facts(name)
		due, queued := s.operator.queue.due[name]
		if !queued {
			s.violate(6, "%s is never looked at again", name)
		}
		if facts.unsaved || facts.troubled || s.operator.failures[name] > 0 || !due.After(s.mono.Now()) {
			continue
		}
		if s.awake() {
			s.checkTruth(s.api.session(name), facts)
		}
	}
	if names := s.api.names(kindSession); len(names) > 0 && s.brokenWrites == 0 && s.awake() {
		s.checkRest(pick(s, names...))
	}
}

// awake says whether every timer has run out since the operator's clock was set: until then an object may sleep too long.
func (s *simulation) awake() bool { return s.mono.Now().Sub(s.jumpedAt) > longestSleep+time.Minute }

// checkTruth is invariant 2.
func (s *simulation) checkTruth(session *v1alpha1.SeamClientSession, facts *simFacts) {
	held := s.api.secret(session.SecretName())
	ready := meta.FindStatusCondition(session.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil || session.Status.ObservedGeneration != session.Generation || ready.ObservedGeneration != session.Generation {
		s.violate(2, "the status of %s is not about generation %d: %+v", session.Name, session.Generation, session.Status)
		return
	}
	state := secret.Inspect(held, session)
	usable := s.usable(held, state, facts)
	isReady := ready.Status == metav1.ConditionTrue
	switch {
	case isReady && !usable:
		s.violate(2, "%s is Ready, and its Secret holds no usable token: %+v %+v", session.Name, state, session.Status)
	case !isReady && usable && held.Labels[v1alpha1.LabelManagedBy] == v1alpha1.ManagedBy && // else the operator can't see it
		ready.Reason != v1alpha1.ReasonSessionNotFound:
		s.violate(2, "%s is not Ready (%s), and its Secret holds a usable token", session.Name, ready.Reason)
	}
}

// usable says whether a Secret holds a token for the present spec which by Seam's last word has not ended.
func (s *simulation) usable(held *corev1.Secret, state secret.State, facts *simFacts) bool {
	if !state.Ours || !state.DataIntact || !state.ForSpec || tokenIn(held) == "" {
		return false
	}
	ends, known := facts.told[tokenIn(held)]
	if !known {
		ends = state.ExpiresAt
	}
	return ends == nil || ends.After(s.wall.Now())
}

// checkRest is invariant 7: a reconcile for nothing does nothing.
func (s *simulation) checkRest(name string) {
	now := s.mono.Now()
	facts := s.facts(name)
	session := s.api.session(name)
	damaged := !secret.Inspect(s.api.secret(session.SecretName()), session).Intact // it is put right a few times at once
	if due, ok := s.operator.queue.due[name]; damaged || !ok || !due.After(now) || session.Status.NextFetchTime == nil || facts.unsaved || facts.troubled || facts.disturbed {
		return
	}
	s.tracef("  for nothing:")
	calls := facts.calls
	facts.workBudget.left++
	s.operator.reconcile(name)
	s.operator.catchUp(0)
	if facts.calls != calls || s.operator.writes > 0 {
		s.violate(7, "a reconcile of %s for nothing asks %d times and writes %d times:\n%+v\n%+v", name,
			facts.calls-calls, s.operator.writes, session.Status, s.api.session(name).Status)
	}
}

// settle is invariant 6: faults end, and after a while everything is as it should be, and stays so.
func (s *simulation) settle() {
	if s.violation != "" {
		return
	}
	s.tracef("all faults end")
	s.calm, s.brokenWrites, s.behind = true, 0, 0
	s.seam.Heal()
	s.addCredentials()
	s.wall.SetTime(s.truth.Now())
	s.jumped()
	for _, name := range s.api.collectGarbage(s.ctx) {
		s.concernsSecret(name)
	}
	s.rest()
	s.run(simSettling)
	s.rest()
	before := map[string]simFacts{}
	for _, name := range s.api.names(kindSession) {
		if s.violation == "" && s.shouldBeReady(s.api.session(name)) {
			s.checkSettled(s.api.session(name))
			facts := *s.facts(name)
			facts.writes = maps.Clone(facts.writes)
			before[name] = facts
		}
	}
	s.run(simResting)
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if s.violation == "" {
			s.checkResting(s.api.session(name), before[name])
		}
	}
}

// shouldBeReady says whether there is all that it takes for a session to be Ready now and for long.
func (s *simulation) shouldBeReady(session *v1alpha1.SeamClientSession) bool {
	held := s.api.secret(session.SecretName())
	p := conflict(held, session)
	return !session.Spec.Suspend && p == nil && secret.CheckTemplates(session.Spec.Secret.Template) == nil && s.oracle(session) != nil
}

// oracle is what Seam would give for a session, found without the operator; nil if that is nothing good.
func (s *simulation) oracle(session *v1alpha1.SeamClientSession) *seamtest.Session {
	workspace := s.workspace(session)
	if workspace == "" {
		return nil
	}
	for n := range s.seamIDs { // the oldest
		found, ok := s.seam.Session(seamID(n))
		if ok && found.WorkspaceID == workspace && s.selects(session, found) {
			if !found.ExpiresAt.IsZero() && found.ExpiresAt.Before(s.truth.Now().Add(4*24*time.Hour)) {
				return nil // ends soon
			}
			return &found
		}
	}
	return nil
}

// workspace is that which the credential of a session opens; empty if it opens none, or not the one that is asked for.
func (s *simulation) workspace(session *v1alpha1.SeamClientSession) string {
	asked, opened := session.Spec.WorkspaceID, ""
	if credential := s.api.secret(session.Spec.CredentialSecretRef.Name); credential != nil {
		switch string(credential.Data[v1alpha1.DefaultCredentialKey]) {
		case "seam_hush_key1", "seam_hush_key1b":
			opened = seamtest.Workspace1
		case "seam_hush_key2":
			opened = seamtest.Workspace2
		case "seam_at_hush":
			opened = asked
		}
	}
	if asked != "" && asked != opened {
		return ""
	}
	return opened
}

// selects says whether a session of the operator's asks for one of Seam's.
func (s *simulation) selects(session *v1alpha1.SeamClientSession, at seamtest.Session) bool {
	key := session.Spec.UserIdentifierKey
	if session.Spec.UserIdentifierKeySecretRef != nil {
		key = s.userKey()
	}
	return at.ID == session.Spec.ClientSessionID || key != "" && at.UserIdentifierKey == key
}

func (s *simulation) checkSettled(session *v1alpha1.SeamClientSession) {
	held, want := s.api.secret(session.SecretName()), s.oracle(session)
	switch {
	case !meta.IsStatusConditionTrue(session.Status.Conditions, v1alpha1.ConditionReady):
		s.violate(6, "%s is not Ready: %+v", session.Name, session.Status)
	case held == nil || tokenIn(held) != want.Token:
		s.violate(6, "%s has not the token %s in its Secret", session.Name, want.Token)
	}
	for _, name := range s.api.names(kindSecret) {
		if other := s.api.secret(name); name != session.SecretName() && metav1.IsControlledBy(other, session) &&
			other.Annotations[v1alpha1.AnnotationSession] == session.Name && // else somebody took it out of the operator's hands
			session.Spec.Secret.RetentionPolicy.WhenDeleted != v1alpha1.RetentionRetain {
			s.violate(6, "%s has left Secret %s behind", session.Name, name)
		}
	}
}

func (s *simulation) checkResting(session *v1alpha1.SeamClientSession, before simFacts) {
	facts, interval := s.facts(session.Name), defaultRefreshInterval
	if session.Spec.RefreshInterval != nil {
		interval = session.Spec.RefreshInterval.Duration
	}
	calls, most := facts.calls-before.calls, int(simResting/(interval*9/10))+1
	if calls > most {
		s.violate(6, "%s at rest was asked for %d times instead of %d", session.Name, calls, most)
	}
	if n := facts.writes[kindSession] - before.writes[kindSession]; n > calls {
		s.violate(6, "the status of %s at rest was written %d times for %d calls", session.Name, n, calls)
	}
	if n := facts.writes[kindSecret] - before.writes[kindSecret]; n > 0 {
		s.violate(6, "the Secret of %s at rest was written %d times", session.Name, n)
	}
}
