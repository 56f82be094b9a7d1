package controller

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

const (
	simEventsPath, simWorkspacePath = "/events/list", "/workspaces/get"
	// simLatest is how late Seam's events may be, and how far their clock may be apart: less than windows overlap.
	simLatest = 4 * time.Minute
)

var (
	// simPlatformCredentials are what the SeamWorkspace's Secret goes through. Nobody else has them.
	simPlatformCredentials = []string{
		"seam_hush_platform1", "seam_hush_platform1", "seam_hush_platform1b", "seam_hush_platform2", "seam_at_hush_platform",
		"seam_hush_platform_unknown", "seam_cst_hush_platform", "seam_pk_hush_platform", "no-credential-hush-platform", "",
	}
	simUsable = slices.Concat(simCredentials[:5], simPlatformCredentials[:5])
	// simGrants are what the SeamWorkspace may grant: the namespace all, users by prefixes, or nothing.
	simGrants = [][]v1alpha1.Grant{
		{simGrant(simNamespace)}, {simGrant("garage", simNamespace)},
		{simGrant(simNamespace, "user_hush_1", "user_hush_3")}, {simGrant("garage"), simGrant(simNamespace, "user_hush_2")},
		{simAllowing(simGrant(simNamespace))}, {simAllowing(simGrant(simNamespace), "account1")},
		{simAllowing(simGrant(simNamespace, "user_hush_1", "user_hush_2"), "account1", "account2"), simGrant(simNamespace)},
		{simAllowing(simGrant("garage")), simGrant(simNamespace)}, {simAllowing(simGrant(simNamespace, "user_hush_3"))},
		{simGrant("sho"), simGrant(simNamespace, "hush_1", "user_hush_11")}, {simGrant("garage"), simGrant("shop-2")}, nil,
	}
	simBehaviours = []seamtest.Behaviour{
		{}, {EventsTwice: true, NewestFirst: true}, {EventDelay: simLatest}, {EventAhead: simLatest}, {EventAhead: -simLatest},
	}
)

// simGrant lets some namespaces use the sessions of users, given by prefixes of their keys; all without.
func simGrant(namespaces ...string) (grant v1alpha1.Grant) {
	for _, name := range namespaces {
		if strings.Contains(name, "hush") {
			grant.UserIdentifierKeyPrefixes = append(grant.UserIdentifierKeyPrefixes, v1alpha1.KeyPrefix(name))
			continue
		}
		grant.Namespaces.Names = append(grant.Namespaces.Names, v1alpha1.NamespaceName(name))
	}
	return grant
}

func (s *simulation) newWorkspace() *v1alpha1.SeamWorkspace {
	workspace := &v1alpha1.SeamWorkspace{ObjectMeta: metav1.ObjectMeta{Namespace: simPlatform, Name: simWorkspace}}
	workspace.Spec.CredentialSecretRef.Name = simWorkspace
	workspace.Spec.Grants = pick(s, simGrants...)
	return workspace
}

// changesWorkspace does what the owners of the SeamWorkspace do, and may take it back.
func (s *simulation) changesWorkspace() string {
	current := s.api.workspace()
	if current == nil {
		return "creates the workspace" + s.putWorkspace(s.newWorkspace())
	}
	if s.chance(70) {
		s.later(func() string {
			again := s.newWorkspace()
			if now := s.api.workspace(); now != nil {
				again = now.DeepCopy()
			}
			again.Spec = *current.Spec.DeepCopy()
			return "platform: puts back the workspace" + s.putWorkspace(again) + s.mayErr()
		})
	}
	if s.chance(15) {
		s.must(s.api.remove(current, client.Preconditions{}))
		return "deletes the workspace"
	}
	edited := current.DeepCopy()
	switch s.rand.IntN(6) {
	case 0:
		edited.Spec.WorkspaceID = pick(s, "", "", seamtest.Workspace1, seamtest.Workspace1, seamtest.Workspace2)
	case 1:
		edited.Spec.Events.PollInterval = pick(s, nil, new(metav1.Duration), &metav1.Duration{Duration: 10 * time.Second}, &metav1.Duration{Duration: 10 * time.Minute})
	default:
		edited.Spec.Grants = pick(s, simGrants...)
	}
	return "edits the workspace" + s.putWorkspace(edited)
}

// putWorkspace creates or updates the SeamWorkspace, and returns its spec for the trace.
func (s *simulation) putWorkspace(workspace *v1alpha1.SeamWorkspace) string {
	write := s.api.update
	if workspace.UID == "" {
		write, s.checked = s.api.create, time.Time{} // it is another one
	}
	s.must(write(workspace))
	return fmt.Sprintf(": %q, %v", workspace.Spec.WorkspaceID, workspace.Spec.Grants)
}

// failEvents changes how Seam tells its events, or has the calls for the SeamWorkspace fail.
func failEvents(s *simulation, _ seamtest.Session) string {
	fault := pick(s, seamtest.Forbidden, seamtest.Forbidden, pick(s, seamtest.Faults...))
	if fault.Name == seamtest.Hang.Name || s.chance(50) {
		behaviour := s.tellEvents()
		return fmt.Sprintf("tells its events so: %+v", behaviour)
	}
	path := pick(s, simEventsPath, simEventsPath, simWorkspacePath)
	s.seam.FailRoute(path, fault)
	return fmt.Sprintf("fails on %s with %q", path, fault)
}

// tellEvents changes how Seam tells its events.
func (s *simulation) tellEvents() seamtest.Behaviour {
	told, behaviour := pick(s, simBehaviours...), s.seam.behaviour
	behaviour.EventsTwice, behaviour.NewestFirst = told.EventsTwice, told.NewestFirst
	behaviour.EventDelay, behaviour.EventAhead = told.EventDelay, told.EventAhead
	s.seam.behave(behaviour)
	return told
}

// byWorkspace says whether a question is asked with a credential of the SeamWorkspace's.
func (q simQuestion) byWorkspace() bool { return strings.Contains(q.credential, "platform") }

// granted says whether the namespace may ask a question, for a session that may be one to provide: by what there is, or by what
// there was and a process is yet to be shown.
func (s *simulation) granted(by *simOperator, q simQuestion, spec *v1alpha1.Provision) bool {
	states := []client.Object{s.api.get(simKey{kindWorkspace, simWorkspace})}
	for _, change := range s.api.history[kindWorkspace][by.position[kindWorkspace]:] {
		states = append(states, change.before)
	}
	return !q.byWorkspace() || slices.ContainsFunc(states, func(state client.Object) bool { return q.grantedBy(state, spec) })
}

// ungranted says whether the namespace may not ask a question by what a process is shown.
func (o *simOperator) ungranted(q simQuestion, spec *v1alpha1.Provision) bool {
	return q.byWorkspace() && !q.grantedBy(o.cache[simKey{kindWorkspace, simWorkspace}], spec)
}

func (q simQuestion) grantedBy(state client.Object, spec *v1alpha1.Provision) bool {
	workspace, ok := state.(*v1alpha1.SeamWorkspace)
	return ok && slices.ContainsFunc(workspace.Spec.Grants, func(grant v1alpha1.Grant) bool {
		prefixes := grant.UserIdentifierKeyPrefixes
		return slices.Contains(grant.Namespaces.Names, simNamespace) && allows(grant, spec) && (len(prefixes) == 0 ||
			slices.ContainsFunc(prefixes, func(prefix v1alpha1.KeyPrefix) bool { return strings.HasPrefix(q.key, string(prefix)) }))
	})
}

// checkGranted is invariant 8, of something that an attempt does with the answer to a question.
func (s *simulation) checkGranted(attempt *simAttempt, q simQuestion, what string) {
	if !s.granted(attempt.by, q, attempt.provision()) {
		s.violate(8, "%s %s by %v, which is not granted", attempt.name, what, q)
	}
}

// askingWorkspace checks that a call may be made for the SeamWorkspace now.
func (s *simulation) askingWorkspace(call *simCall) {
	facts, now := s.facts(simWorkspace), s.mono.Now()
	s.tracef("  %s of %v", call.path, call.question)
	if pause := s.held(call); pause > 0 && call.attempt.by == s.operator {
		s.violate(4, "%s is called with a credential that must not be used for another %s", call.path, pause)
	}
	if call.path == simWorkspacePath {
		if gap := now.Sub(s.checked); gap < simApart && call.question.credential == s.checkedWith && call.attempt.by == s.operator {
			s.violate(4, "the workspace is checked again after %s", gap)
		}
		if call.attempt.by == s.operator {
			s.checked, s.checkedWith = now, call.question.credential
		}
	}
	if !facts.budgets[0].spend(now, 8*time.Second) {
		s.violate(4, "%s is called too often", call.path)
	}
	facts.calls++
	facts.budgets[1].left += 6
	facts.lastCall = now
}

// wroteWorkspace notes a write of the status of the SeamWorkspace. What it makes of it may be news to its sessions.
func (s *simulation) wroteWorkspace(before, after *v1alpha1.SeamWorkspace) {
	s.facts(simWorkspace).statuses++
	s.tracef("    %v %v %v", after.Status.LastEventTime, after.Status.LastCheckTime, after.Status.Conditions)
	ready := func(w *v1alpha1.SeamWorkspace) bool {
		return meta.IsStatusConditionTrue(w.Status.Conditions, v1alpha1.ConditionReady)
	}
	if ready(before) != ready(after) || before.Status.WorkspaceID != after.Status.WorkspaceID {
		for _, name := range simSessions {
			s.facts(name).caused(1)
		}
	}
}

// checkUngranted is invariant 6, for a session that the SeamWorkspace does not grant.
func (s *simulation) checkUngranted(session *v1alpha1.SeamClientSession) {
	if session.DeletionTimestamp != nil {
		return
	}
	ref, q := session.Spec.WorkspaceRef, s.question(session)
	readable := session.Spec.UserIdentifierKeySecretRef == nil || slices.Contains(append(simKeys, simTypos[0]), q.key)
	q.credential = "platform" // whatever there is by now
	if ref == nil || session.Spec.Suspend || !readable || ref.Name == simWorkspace && s.granted(s.operator, q, session.Spec.Provision) {
		return
	}
	said := []string{v1alpha1.ReasonNotGranted}
	if session.Spec.UserIdentifierKeySecretRef != nil { // which is not read for a template, or a Secret, that is wrong, nor again for a workspace that is
		said = append(said, v1alpha1.ReasonTemplateInvalid, v1alpha1.ReasonSecretConflict, v1alpha1.ReasonWorkspaceNotReady)
	}
	synced := meta.FindStatusCondition(session.Status.Conditions, v1alpha1.ConditionSynced)
	if synced == nil || !slices.Contains(said, synced.Reason) {
		s.violate(6, "%s is not granted, and does not say so: %s", session.Name, summary(&session.Status))
	}
}

// pollInterval is how often Seam's events are to be read; 0 for never, or where they can't be.
func (s *simulation) pollInterval() time.Duration {
	workspace := s.api.workspace()
	if workspace == nil || !meta.IsStatusConditionTrue(workspace.Status.Conditions, v1alpha1.ConditionReady) {
		return 0
	}
	if interval := workspace.Spec.Events.PollInterval; interval != nil {
		return interval.Duration
	}
	return 30 * time.Second
}

// checkWorkspaceResting is invariant 6, for the SeamWorkspace.
func (s *simulation) checkWorkspaceResting(before simFacts) {
	workspace, facts, interval := s.api.workspace(), s.facts(simWorkspace), s.pollInterval()
	if workspace == nil || s.violation != "" {
		return
	}
	opens, most := simOpens[string(s.credentialOf(workspace))], int(simResting/(5*time.Minute))+2
	if id := workspace.Spec.WorkspaceID; len(opens) == 1 && (id == "" || id == opens[0]) || id != "" && slices.Contains(opens, id) {
		most = int(simResting/time.Hour) + 2
		if !meta.IsStatusConditionTrue(workspace.Status.Conditions, v1alpha1.ConditionReady) {
			s.violate(6, "the workspace is not Ready: %v", workspace.Status.Conditions)
		}
	}
	writes := most + int(simResting/(10*time.Minute)) + 2
	if interval > 0 {
		most += int(simResting/interval) + 2
	} else if len(opens) == 0 {
		most = int(simResting/time.Minute) + 2 // Seam refuses it
	}
	if calls, statuses := facts.calls-before.calls, facts.statuses-before.statuses; calls > most || statuses > writes {
		s.violate(6, "the workspace at rest was called for %d times instead of %d, and written %d times", calls, most, statuses)
	}
}

func (s *simulation) credentialOf(workspace *v1alpha1.SeamWorkspace) []byte {
	if held := s.api.secret(workspace.Spec.CredentialSecretRef.Name); held != nil {
		return held.Data[v1alpha1.DefaultCredentialKey]
	}
	return nil
}

// checkDeletion is invariant 8, where a session is deleted at Seam while all is well: it shows within the poll interval and 5 s,
// also over a restart.
func (s *simulation) checkDeletion() {
	if s.violation != "" {
		return
	}
	s.prepareDeletion(simSessions[0])
	s.run(2 * time.Minute)
	session := s.api.session(simSessions[0])
	if !meta.IsStatusConditionTrue(session.Status.Conditions, v1alpha1.ConditionReady) {
		s.violate(6, "%s is not Ready: %s", session.Name, summary(&session.Status))
	}
	behaviour := s.tellEvents()
	s.seam.Delete(session.Spec.ClientSessionID)
	s.tracef("Seam deletes %s, and tells its events so: %+v", session.Spec.ClientSessionID, behaviour)
	s.caused()
	if s.chance(30) {
		s.tracef("  %s", s.restart())
	}
	s.run(behaviour.EventDelay + s.pollInterval() + 5*time.Second)
	status := &s.api.session(session.Name).Status
	if synced := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionSynced); synced.Reason != v1alpha1.ReasonSessionNotFound {
		s.violate(8, "%s does not show that its session was deleted: %s", session.Name, summary(status))
	}
	if s.api.secret(session.Name) != nil {
		s.violate(8, "%s keeps the token of a session that Seam has said twice is deleted", session.Name)
	}
}

// prepareDeletion puts a session and the SeamWorkspace in the place of what there is, with which all is well.
func (s *simulation) prepareDeletion(name string) {
	workspace := s.newWorkspace()
	spec := workspace.Spec
	if current := s.api.workspace(); current != nil {
		workspace = current.DeepCopy()
	}
	workspace.Spec, workspace.Spec.Grants = spec, simGrants[0]
	s.putWorkspace(workspace)
	s.setReference(simWorkspace, v1alpha1.DefaultCredentialKey, simPlatformCredentials[0])
	s.seam.behave(seamtest.Behaviour{})
	s.seam.put(seamtest.Session{ID: "cst_last", WorkspaceID: seamtest.Workspace1, Token: s.newToken(), CreatedAt: s.truth.Now()})
	for _, kind := range []string{kindSession, kindSecret} {
		if former := s.api.get(simKey{kind, name}); former != nil {
			s.must(s.api.remove(former, client.Preconditions{}))
		}
	}
	session := &v1alpha1.SeamClientSession{ObjectMeta: metav1.ObjectMeta{Namespace: simNamespace, Name: name}}
	session.Spec.ClientSessionID = "cst_last"
	session.Spec.WorkspaceRef = &v1alpha1.WorkspaceReference{Namespace: simPlatform, Name: simWorkspace}
	session.Spec.Secret.Type = "Opaque"
	session.Spec.Secret.RetentionPolicy.WhenSessionEnds = v1alpha1.RetentionDelete
	s.must(s.api.create(session))
	s.objects[name] = nil
	s.caused()
}
