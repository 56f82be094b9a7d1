package controller

import (
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

// hush is in everything that must not show: tokens, credentials and the keys of users.
const hush = "hush"

// Who and what there is in every simulation.
var (
	simSessions = []string{"anna", "bert", "carl", "dora"}
	simKeys     = []string{"user_hush_1", "user_hush_2", "user_hush_3"}
	// simCredentials are the values that the credential Secrets go through: of two workspaces, of several kinds, and wrong.
	simCredentials = []string{
		"seam_hush_key1", "seam_hush_key1", "seam_hush_key1b", "seam_hush_key2", "seam_at_hush", "seam_hush_unknown",
		"seam_pk_hush", "not-a-credential-hush", "",
	}
	// simSecretNames are the names that sessions may give to their Secrets: their own, a shared one, one that is taken.
	simSecretNames = []string{"", "", "", "shared", "another", "theirs"}
	simTemplates   = []map[string]v1alpha1.Template{
		nil, nil,
		{"token": "{{ .token }}", "config.json": `{"token": {{ .token | toJson }}, "until": {{ .expires_at | toJson }}}`},
		{"SEAM": "{{ .token }}"},
		{"token": "{{ .no_such_field }}"},
	}
)

// act lets somebody do something, and returns a line about it.
func (s *simulation) act() string {
	switch n := s.rand.IntN(100); {
	case n < 40:
		return "user: " + s.user()
	case n < 65:
		return "colleague: " + s.colleague()
	}
	return "Seam: " + s.seamActs()
}

// pick returns one of some values.
func pick[T any](s *simulation, values ...T) T { return values[s.rand.IntN(len(values))] }

// user does what the users of sessions do.
func (s *simulation) user() string {
	name := pick(s, simSessions...)
	session := s.api.session(name)
	if session == nil {
		return s.createSession(name)
	}
	session = session.DeepCopy()
	did := ""
	switch n := s.rand.IntN(100); {
	case n < 12:
		s.must(s.api.remove(s.ctx, session))
		s.concerns(name)
		return "deletes " + name
	case n < 30:
		request := fmt.Sprintf("request-%d", s.steps)
		session.Annotations = map[string]string{v1alpha1.AnnotationRefreshRequestedAt: request}
		did = "requests a refresh of " + name
	case n < 40:
		session.Spec.Suspend = !session.Spec.Suspend
		did = fmt.Sprintf("sets suspend of %s to %t", name, session.Spec.Suspend)
	case n < 45:
		session.Labels = map[string]string{"step": fmt.Sprint(s.steps)}
		did = "labels " + name
	default:
		did = s.edit(session) + " of " + name
	}
	if nameTaken(session) {
		return "changes nothing"
	}
	s.must(s.api.update(s.ctx, session))
	s.concerns(name)
	return did
}

func (s *simulation) createSession(name string) string {
	session := &v1alpha1.SeamClientSession{ObjectMeta: metav1.ObjectMeta{Namespace: simNamespace, Name: name}}
	session.Spec.Secret.Type = pick(s, "Opaque", "Opaque", "Opaque", "example.com/token")
	session.Spec.CredentialSecretRef.Name = "credential-1"
	s.editSelector(session)
	for range s.rand.IntN(4) {
		s.edit(session)
	}
	if nameTaken(session) {
		session.Spec.Secret.Name = ""
	}
	s.must(s.api.create(s.ctx, session))
	clear(s.facts(name).told) // to another object of that name
	s.concerns(name)
	return fmt.Sprintf("creates %s: %s", name, describe(session))
}

// nameTaken says what the CRD rejects: the token would overwrite what it is fetched with.
func nameTaken(session *v1alpha1.SeamClientSession) bool {
	return slices.Contains(references(session), session.SecretName())
}

func describe(session *v1alpha1.SeamClientSession) string {
	spec := &session.Spec
	return fmt.Sprintf("selector %s%s%v credential %s/%s workspace %q secret %q template %v interval %v renewBefore %v retention %v",
		spec.ClientSessionID, spec.UserIdentifierKey, spec.UserIdentifierKeySecretRef, spec.CredentialSecretRef.Name,
		spec.CredentialSecretRef.Key, spec.WorkspaceID, spec.Secret.Name, slices.Sorted(maps.Keys(spec.Secret.Template)),
		spec.RefreshInterval, spec.RenewBefore, spec.Secret.RetentionPolicy)
}

// edit changes one thing of a spec, as the CRD lets a user.
func (s *simulation) edit(session *v1alpha1.SeamClientSession) string {
	spec := &session.Spec
	switch s.rand.IntN(8) {
	case 0:
		s.editSelector(session)
		return "edits the selector"
	case 1:
		spec.CredentialSecretRef.Name = pick(s, "credential-1", "credential-1", "credential-2")
		return "edits the credential"
	case 2:
		spec.WorkspaceID = pick(s, "", "", seamtest.Workspace1, seamtest.Workspace2)
		return "edits the workspace"
	case 3:
		spec.RefreshInterval = pick(s, nil, &metav1.Duration{Duration: 30 * time.Second}, &metav1.Duration{Duration: 10 * time.Minute})
		return "edits the interval"
	case 4:
		spec.RenewBefore = pick(s, nil, &metav1.Duration{Duration: 10 * time.Minute}, &metav1.Duration{Duration: 48 * time.Hour})
		return "edits renewBefore"
	case 5:
		spec.Secret.Name = pick(s, simSecretNames...)
		return fmt.Sprintf("edits secret.name (%q)", spec.Secret.Name)
	case 6:
		spec.Secret.Template = pick(s, simTemplates...)
		return "edits the template"
	}
	actions := []v1alpha1.RetentionAction{v1alpha1.RetentionDelete, v1alpha1.RetentionRetain}
	spec.Secret.RetentionPolicy.WhenDeleted = pick(s, actions...)
	spec.Secret.RetentionPolicy.WhenSessionEnds = pick(s, actions...)
	return fmt.Sprintf("edits the retention policy %v", spec.Secret.RetentionPolicy)
}

func (s *simulation) editSelector(session *v1alpha1.SeamClientSession) {
	spec := &session.Spec
	spec.ClientSessionID, spec.UserIdentifierKey, spec.UserIdentifierKeySecretRef = "", "", nil
	switch s.rand.IntN(5) {
	case 0:
		spec.UserIdentifierKey = pick(s, simKeys...)
	case 1:
		spec.UserIdentifierKeySecretRef = &v1alpha1.SecretKeyReference{Name: "user", Key: "key"}
	default:
		spec.ClientSessionID = fmt.Sprintf("cst%d", 1+s.rand.IntN(max(4, s.seamIDs)))
	}
}

// colleague does what others do with the Secrets of the namespace.
func (s *simulation) colleague() string {
	if s.chance(45) {
		return s.changesReference()
	}
	name := pick(s, "anna", "bert", "carl", "dora", "shared", "another", "theirs")
	current := s.api.secret(name)
	if current == nil {
		if !s.chance(20) {
			return "finds no " + name
		}
		s.must(s.api.create(s.ctx, foreignSecret(name)))
		s.concernsSecret(name)
		return "creates a Secret " + name
	}
	edited := current.DeepCopy()
	did := s.editSecret(edited)
	switch did {
	case "deletes":
		s.must(s.api.remove(s.ctx, edited))
	case "replaces":
		s.must(s.api.remove(s.ctx, edited))
		s.must(s.api.create(s.ctx, foreignSecret(name)))
	default:
		if s.api.update(s.ctx, edited) != nil {
			return "can't change Secret " + name
		}
	}
	s.concernsSecret(name)
	return did + " Secret " + name
}

// editSecret changes a Secret, and says how; the caller deletes it.
func (s *simulation) editSecret(edited *corev1.Secret) string {
	switch s.rand.IntN(12) {
	case 0:
		edited.Data = map[string][]byte{"token": []byte("scribbled")}
		return "scribbles on"
	case 1:
		edited.Labels = nil
		return "strips the labels of"
	case 2:
		edited.Annotations = nil
		return "strips the annotations of"
	case 3:
		edited.OwnerReferences = nil
		return "strips the owner of"
	case 4:
		edited.Immutable = ptr.To(true)
		return "makes immutable"
	case 5:
		edited.Labels = map[string]string{"team": "a", v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}
		return "labels"
	case 6, 7:
		return "replaces"
	case 8:
		edited.Annotations = map[string]string{v1alpha1.AnnotationAdoptBy: pick(s, simSessions...)}
		return "gives away"
	}
	return "deletes"
}

func foreignSecret(name string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: simNamespace, Name: name},
		Type:       corev1.SecretTypeOpaque,
		Data:       map[string][]byte{"password": []byte("theirs " + hush)},
	}
}

// changesReference changes a Secret that sessions refer to.
func (s *simulation) changesReference() string {
	name := pick(s, "credential-1", "credential-1", "credential-2", "user")
	current := s.api.secret(name)
	if current != nil && s.chance(15) {
		s.must(s.api.remove(s.ctx, current))
		s.concernsReference(name)
		return "deletes " + name
	}
	key, values := v1alpha1.DefaultCredentialKey, simCredentials
	if name == "user" {
		key, values = "key", append([]string{"", "\n"}, simKeys...)
	}
	value := pick(s, values...)
	s.setReference(name, key, value)
	return fmt.Sprintf("writes %q into %s", value, name)
}

// setReference writes a value into a Secret that sessions refer to.
func (s *simulation) setReference(name, key, value string) {
	next := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: simNamespace, Name: name}, Type: corev1.SecretTypeOpaque}
	current := s.api.secret(name)
	if current != nil {
		next = current.DeepCopy()
	}
	next.Data = map[string][]byte{key: []byte(value)}
	if current == nil {
		s.must(s.api.create(s.ctx, next))
	} else {
		s.must(s.api.update(s.ctx, next))
	}
	s.concernsReference(name)
}

// seamActs does what the owners of sessions do at Seam, and what happens to Seam.
func (s *simulation) seamActs() string {
	s.seamChanges++
	id := fmt.Sprintf("cst%d", 1+s.rand.IntN(max(1, s.seamIDs)))
	session, found := s.seam.Session(id)
	switch n := s.rand.IntN(100); {
	case n < 25:
		return s.fail()
	case n < 45:
		s.seam.Heal()
		return "heals"
	case n < 50:
		value := pick(s, simCredentials[:5]...)
		s.seam.Revoke(value)
		return "revokes " + value
	case n < 57:
		s.addCredentials()
		return "takes every credential again"
	case n < 67 || !found:
		return s.addSeamSession()
	case n < 80:
		session.ExpiresAt = s.truth.Now().Add(s.lifetime())
		s.seam.Put(session)
		return fmt.Sprintf("moves the end of %s to %s", id, session.ExpiresAt.Format(time.RFC3339Nano))
	case n < 88:
		s.seam.Delete(id)
		return "deletes " + id
	case n < 94:
		session.Token = s.newToken()
		s.seam.Put(session)
		return fmt.Sprintf("rotates %s to %s", id, session.Token)
	}
	s.seam.Delete(id)
	return "replaces " + id + ", " + s.addSeamSession()
}

// fail begins a fault: for all, for a credential, or for a session.
func (s *simulation) fail() string {
	fault := pick(s, seamtest.Faults...)
	switch s.rand.IntN(3) {
	case 0:
		s.seam.Fail(fault)
		return fmt.Sprintf("fails with %q", fault)
	case 1:
		value := pick(s, simCredentials[:5]...)
		s.seam.FailCredential(value, fault)
		return fmt.Sprintf("fails for %s with %q", value, fault)
	}
	id := fmt.Sprintf("cst%d", 1+s.rand.IntN(max(1, s.seamIDs)))
	s.seam.FailSession(id, fault)
	return fmt.Sprintf("fails for %s with %q", id, fault)
}

// addCredentials makes the credentials valid that can be.
func (s *simulation) addCredentials() {
	s.seam.AddCredential("seam_hush_key1", seamtest.Workspace1)
	s.seam.AddCredential("seam_hush_key1b", seamtest.Workspace1)
	s.seam.AddCredential("seam_hush_key2", seamtest.Workspace2)
	s.seam.AddCredential("seam_at_hush", seamtest.Workspace1, seamtest.Workspace2)
}

func (s *simulation) addSeamSession() string {
	s.seamIDs++
	session := seamtest.Session{
		ID: fmt.Sprintf("cst%d", s.seamIDs), Token: s.newToken(), CreatedAt: s.truth.Now(),
		WorkspaceID:       pick(s, seamtest.Workspace1, seamtest.Workspace1, seamtest.Workspace2),
		UserIdentifierKey: pick(s, append([]string{""}, simKeys...)...),
	}
	if !s.chance(10) {
		session.ExpiresAt = s.truth.Now().Add(s.lifetime())
	}
	s.seam.Put(session)
	return fmt.Sprintf("adds %s of %s for %q with %s until %s", session.ID, session.WorkspaceID, session.UserIdentifierKey,
		session.Token, session.ExpiresAt.Format(time.RFC3339Nano))
}

func (s *simulation) newToken() string {
	s.tokens++
	return fmt.Sprintf("seam_cst_hush_%d_", s.tokens)
}

// lifetime is how long a session lives from now on: not at all, some seconds, hours, or months; with milliseconds.
func (s *simulation) lifetime() time.Duration {
	longest := pick(s, time.Minute, time.Hour, 24*time.Hour, 24*time.Hour, 100*24*time.Hour)
	if s.chance(10) {
		return -longest
	}
	return time.Duration(s.rand.Int64N(int64(longest/time.Millisecond))) * time.Millisecond
}

// concerns notes that a session was changed by somebody: that may cost calls and writes.
func (s *simulation) concerns(names ...string) {
	for _, name := range names {
		s.facts(name).caused()
	}
}

// concernsSecret notes that a Secret was changed by somebody other than the operator.
func (s *simulation) concernsSecret(name string) {
	for _, session := range simSessions {
		found := s.api.session(session)
		if found != nil && (found.SecretName() == name || found.Status.SecretName == name) {
			s.concerns(session)
		}
	}
}

// concernsReference notes that a Secret was changed which sessions refer to.
func (s *simulation) concernsReference(name string) {
	for _, session := range simSessions {
		if found := s.api.session(session); found != nil && slices.Contains(references(found), name) {
			s.concerns(session)
		}
	}
	s.changedReferences = s.mono.Now()
	if name != "user" {
		clear(s.holds) // what Seam said of a credential is of the past once its Secret has changed
	}
}

// must stops the simulation where it is wrong itself.
func (s *simulation) must(err error) {
	if client.IgnoreNotFound(err) != nil {
		s.violate(0, "the simulation itself fails: %v", err)
	}
}

// seamID is the ID of the nth session that Seam has given out, from zero.
func seamID(n int) string { return fmt.Sprintf("cst%d", n+1) }
