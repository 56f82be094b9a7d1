package controller

import (
	"encoding/json"
	"fmt"
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
	simSessions = []string{"anna", "bert", "carl", "dora", "emil"}
	simKeys     = []string{"user_hush_1", "user_hush_2", "user_hush_3"}
	simTypos    = []string{"user_hush_typo", "user_hush_2", "user_hush_\t1", "", "\n"}
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
		{"token": simBadTemplate},
	}
)

const simBadTemplate = "{{ .no_such_field }}"

// act lets somebody do something, and returns a line about it.
func (s *simulation) act() string {
	s.caused()
	switch n := s.rand.IntN(100); {
	case n < 32:
		return "user: " + s.user()
	case n < 45:
		return "colleague: " + s.changesReference()
	case n < 55:
		return "platform: " + s.changesWorkspace()
	case n < 67:
		return "colleague: " + s.changesSecret()
	}
	id := pick(s, s.seam.ids...)
	session, found := s.seam.Session(id)
	if !found {
		return "Seam " + s.addSeamSession()
	}
	return "Seam " + pick(s, simSeamActs...)(s, session)
}

// user does what the users of sessions do.
func (s *simulation) user() string {
	name := pick(s, simSessions...)
	session := s.api.session(name)
	if session == nil {
		return s.createSession(name)
	}
	session = session.DeepCopy()
	before, did := session.Spec.DeepCopy(), ""
	switch n := s.rand.IntN(100); {
	case n < 8:
		s.must(s.api.remove(session, client.Preconditions{}))
		return fmt.Sprintf("deletes %s, which has the finalizers %v", name, session.Finalizers)
	case n < 25:
		session.Annotations = map[string]string{v1alpha1.AnnotationRefreshRequestedAt: fmt.Sprintf("request-%d", s.steps)}
		did = "requests a refresh of " + name
	case n < 27 && len(session.Finalizers) > 0:
		session.Finalizers = nil
		did = "takes the finalizer off " + name
	case n < 29:
		session.Labels = map[string]string{"step": fmt.Sprint(s.steps)}
		did = "labels " + name
	default:
		pick(s, simEdits...)(s, &session.Spec)
		did = "edits " + name + ": " + describe(session.Spec)
	}
	if nameTaken(session) {
		return "changes nothing"
	}
	s.must(s.api.update(session))
	if session.Generation > 1 && s.chance(75) {
		s.later(func() string { return s.takesBack(session, before) })
	}
	return did
}

// takesBack undoes an edit of a spec. At that moment Seam may err.
func (s *simulation) takesBack(edited *v1alpha1.SeamClientSession, before *v1alpha1.SeamClientSessionSpec) string {
	session := s.api.session(edited.Name)
	if session == nil || session.UID != edited.UID || session.Generation != edited.Generation {
		return "nobody takes back the edit of " + edited.Name
	}
	session = session.DeepCopy()
	session.Spec = *before
	s.must(s.api.update(session))
	return "user: takes back the edit of " + edited.Name + s.mayErr()
}

func (s *simulation) mayErr() string {
	s.caused()
	if s.calm || !s.chance(50) {
		return ""
	}
	s.seam.lies = append(s.seam.lies, pick(s, simStray, simStray, pick(s, simLies...)))
	return ", and Seam errs once: " + s.seam.lies[0].name
}

func (s *simulation) createSession(name string) string {
	session := &v1alpha1.SeamClientSession{ObjectMeta: metav1.ObjectMeta{Namespace: simNamespace, Name: name}}
	session.Spec.Secret.Type = pick(s, "Opaque", "Opaque", "Opaque", "example.com/token")
	editCredential(s, &session.Spec)
	session.Spec.Secret.RetentionPolicy.WhenSessionEnds = pick(s, v1alpha1.RetentionDelete, v1alpha1.RetentionDelete, v1alpha1.RetentionRetain)
	editSelector(s, &session.Spec)
	if s.provides && s.chance(40) {
		editProvision(s, &session.Spec)
	}
	for range s.rand.IntN(3) {
		pick(s, simEdits...)(s, &session.Spec)
	}
	if nameTaken(session) {
		session.Spec.Secret.Name = ""
	}
	s.must(s.api.create(session))
	s.objects[name] = nil // what is known of another object of that name
	return "creates " + name + ": " + describe(session.Spec)
}

// simReferences are the Secrets that a session refers to.
func simReferences(session *v1alpha1.SeamClientSession) []string {
	names := []string{session.Spec.CredentialSecretRef.Name}
	if ref := session.Spec.UserIdentifierKeySecretRef; ref != nil {
		names = append(names, ref.Name)
	}
	return names
}

// nameTaken says what the CRD rejects: the token would overwrite what it is fetched with.
func nameTaken(session *v1alpha1.SeamClientSession) bool {
	return slices.Contains(simReferences(session), session.SecretName())
}

func describe(spec v1alpha1.SeamClientSessionSpec) string {
	encoded, _ := json.Marshal(spec)
	return string(encoded)
}

// simEdits change one thing of a spec each, as the CRD lets a user.
var simEdits = []func(*simulation, *v1alpha1.SeamClientSessionSpec){
	editSelector, editSelector, mistype, mistype, mistype, editCredential, editProvision, editProvision, editProvision,
	func(_ *simulation, spec *v1alpha1.SeamClientSessionSpec) { spec.Provision = nil },
	func(_ *simulation, spec *v1alpha1.SeamClientSessionSpec) { spec.Suspend = !spec.Suspend },
	func(s *simulation, spec *v1alpha1.SeamClientSessionSpec) {
		if spec.WorkspaceRef == nil {
			spec.WorkspaceID = pick(s, "", "", seamtest.Workspace1, seamtest.Workspace2)
		}
	},
	func(s *simulation, spec *v1alpha1.SeamClientSessionSpec) {
		spec.RefreshInterval = pick(s, nil, &metav1.Duration{Duration: 30 * time.Second}, &metav1.Duration{Duration: 10 * time.Minute})
	},
	func(s *simulation, spec *v1alpha1.SeamClientSessionSpec) {
		spec.RenewBefore = pick(s, nil, &metav1.Duration{Duration: 10 * time.Minute}, &metav1.Duration{Duration: 48 * time.Hour})
	},
	func(s *simulation, spec *v1alpha1.SeamClientSessionSpec) {
		spec.Secret.Name = pick(s, simSecretNames...)
	},
	func(s *simulation, spec *v1alpha1.SeamClientSessionSpec) {
		spec.Secret.Template = pick(s, simTemplates...)
	},
	func(s *simulation, spec *v1alpha1.SeamClientSessionSpec) {
		policy := &spec.Secret.RetentionPolicy
		policy.WhenDeleted = pick(s, v1alpha1.RetentionDelete, v1alpha1.RetentionRetain)
		policy.WhenSessionEnds = pick(s, v1alpha1.RetentionDelete, v1alpha1.RetentionRetain)
	},
}

func editCredential(s *simulation, spec *v1alpha1.SeamClientSessionSpec) {
	spec.CredentialSecretRef.Name, spec.WorkspaceRef = pick(s, "credential-1", "credential-1", "credential-2", "", ""), nil
	if spec.CredentialSecretRef.Name == "" {
		spec.WorkspaceRef = &v1alpha1.WorkspaceReference{Namespace: simPlatform, Name: pick(s, simWorkspace, simWorkspace, simWorkspace, "nowhere")}
		spec.WorkspaceID = ""
	}
}

func mistype(_ *simulation, spec *v1alpha1.SeamClientSessionSpec) {
	if spec.Provision != nil {
		spec.UserIdentifierKey, spec.UserIdentifierKeySecretRef = "user_hush_typo", nil
		return
	}
	spec.ClientSessionID, spec.UserIdentifierKey, spec.UserIdentifierKeySecretRef = "cst_typo", "", nil
}

func editSelector(s *simulation, spec *v1alpha1.SeamClientSessionSpec) {
	spec.ClientSessionID, spec.UserIdentifierKey, spec.UserIdentifierKeySecretRef = "", "", nil
	kinds := 6
	if spec.Provision != nil { // Seam makes no session of a given ID
		kinds = 3
	}
	switch s.rand.IntN(kinds) {
	case 0:
		spec.UserIdentifierKey = pick(s, append([]string{"user_hush_typo"}, simKeys...)...)
	case 1, 2:
		spec.UserIdentifierKeySecretRef = &v1alpha1.SecretKeyReference{Name: "user", Key: "key"}
	default:
		spec.ClientSessionID = fmt.Sprintf("cst%d", 1+s.rand.IntN(len(s.seam.ids)+1))
	}
}

// changesReference does what colleagues do with a Secret that sessions refer to, and may take it back.
func (s *simulation) changesReference() string {
	name := pick(s, "credential-1", "credential-1", "credential-2", "user", "user", simWorkspace, simWorkspace)
	current := s.api.secret(name)
	key, value := v1alpha1.DefaultCredentialKey, pick(s, simCredentials...)
	switch name {
	case "user":
		key, value = "key", pick(s, append(slices.Clone(simKeys), simTypos...)...)
	case simWorkspace:
		value = pick(s, simPlatformCredentials...)
	}
	did := fmt.Sprintf("writes %q into %s", value, name)
	switch n := s.rand.IntN(100); {
	case current != nil && n < 25:
		edited := current.DeepCopy()
		edited.Labels = map[string]string{"team": fmt.Sprint(s.steps)}
		s.must(s.api.update(edited))
		return "labels " + name
	case current != nil && n < 35:
		s.must(s.api.remove(current, client.Preconditions{}))
		s.referenceAt = s.mono.Now()
		did = "deletes " + name
	default:
		s.setReference(name, key, value)
	}
	if current != nil && s.chance(60) {
		s.later(func() string {
			s.setReference(name, key, string(current.Data[key]))
			return "colleague: puts back " + name + s.mayErr()
		})
	}
	return did
}

// setReference writes a value into a Secret that sessions refer to.
func (s *simulation) setReference(name, key, value string) {
	next, write := foreignSecret(name), s.api.create
	if current := s.api.secret(name); current != nil {
		next, write = current.DeepCopy(), s.api.update
	}
	next.Data = map[string][]byte{key: []byte(value)}
	s.must(write(next))
	s.referenceAt = s.mono.Now()
}

// changesSecret does what colleagues do with other Secrets, and may put labels back.
func (s *simulation) changesSecret() string {
	name := pick(s, append([]string{"shared", "another", "theirs"}, simSessions...)...)
	current := s.api.secret(name)
	if current == nil && !s.chance(20) {
		return "finds no " + name
	}
	if current == nil || s.chance(25) {
		if current != nil {
			s.must(s.api.remove(current, client.Preconditions{}))
		}
		if current == nil || s.chance(30) {
			s.must(s.api.create(foreignSecret(name)))
		}
		return "deletes, or replaces, Secret " + name
	}
	edited, edit := current.DeepCopy(), pick(s, simSecretEdits...)
	edit.do(s, edited)
	if s.api.update(edited) != nil {
		return "can't change Secret " + name
	}
	if s.chance(40) {
		s.later(func() string {
			if again := s.api.secret(name); again != nil {
				again = again.DeepCopy()
				again.Labels = current.Labels
				s.must(s.api.update(again))
			}
			return "colleague: puts back the labels of Secret " + name
		})
	}
	return edit.name + " Secret " + name
}

// simSecretEdits are what colleagues do to a Secret.
var simSecretEdits = []struct {
	name string
	do   func(*simulation, *corev1.Secret)
}{
	{"scribbles on", func(_ *simulation, held *corev1.Secret) { held.Data = map[string][]byte{"token": []byte("scribbled")} }},
	{"strips the labels of", func(_ *simulation, held *corev1.Secret) { held.Labels = nil }},
	{"labels", func(_ *simulation, held *corev1.Secret) { metav1.SetMetaDataLabel(&held.ObjectMeta, "team", "a") }},
	{"labels as another's", func(_ *simulation, held *corev1.Secret) {
		metav1.SetMetaDataLabel(&held.ObjectMeta, v1alpha1.LabelManagedBy, "Helm")
	}},
	{"strips the annotations of", func(_ *simulation, held *corev1.Secret) { held.Annotations = nil }},
	{"strips the session of", func(_ *simulation, held *corev1.Secret) { delete(held.Annotations, v1alpha1.AnnotationSession) }},
	{"edits the session of", func(s *simulation, held *corev1.Secret) {
		metav1.SetMetaDataAnnotation(&held.ObjectMeta, v1alpha1.AnnotationSession, pick(s, "nobody", "anna", "bert"))
	}},
	{"strips the owner of", func(_ *simulation, held *corev1.Secret) { held.OwnerReferences = nil }},
	{"makes immutable", func(_ *simulation, held *corev1.Secret) { held.Immutable = ptr.To(true) }},
	{"gives away", func(s *simulation, held *corev1.Secret) {
		held.Annotations = map[string]string{v1alpha1.AnnotationAdoptBy: pick(s, simSessions...)}
	}},
}

func foreignSecret(name string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: simName(name).Namespace, Name: name},
		Type:       corev1.SecretTypeOpaque,
		Data:       map[string][]byte{"password": []byte("theirs " + hush)},
	}
}

// simSeamActs are what the owners of sessions do at Seam, and what happens to Seam.
var simSeamActs = []func(*simulation, seamtest.Session) string{
	(*simulation).fail, (*simulation).fail, (*simulation).fail, failEvents, failsToProvide, failsToProvide, behavesOtherwise, behavesOtherwise, heals, heals, heals, moves, moves, slows, slows, errs, errs,
	func(s *simulation, _ seamtest.Session) string { return s.addSeamSession() },
	func(s *simulation, _ seamtest.Session) string {
		s.seam.addCredentials()
		return "takes every credential again"
	},
	func(s *simulation, _ seamtest.Session) string {
		value := pick(s, simUsable...)
		s.seam.Revoke(value)
		return "revokes " + value
	},
	func(s *simulation, session seamtest.Session) string {
		s.seam.Delete(session.ID)
		return "deletes " + session.ID
	},
	func(s *simulation, session seamtest.Session) string {
		if !s.provides {
			return heals(s, session)
		}
		session.RevokedAt = s.truth.Now()
		s.seam.put(session)
		return "revokes " + session.ID
	},
	func(s *simulation, session seamtest.Session) string {
		session.Token = s.newToken()
		s.seam.put(session)
		return fmt.Sprintf("rotates %s to %s", session.ID, session.Token)
	},
}

func errs(s *simulation, _ seamtest.Session) string {
	s.seam.lies = append(s.seam.lies, pick(s, simLies...))
	return "errs once: " + s.seam.lies[0].name
}

func slows(s *simulation, _ seamtest.Session) string {
	s.seam.slow = pick(s, 5*time.Second, 20*time.Second, simCallTimeout, simCallTimeout)
	return fmt.Sprintf("takes %s to answer", s.seam.slow)
}

func heals(s *simulation, _ seamtest.Session) string {
	s.seam.Heal()
	s.seam.slow, s.seam.lies = 0, nil
	return "heals"
}

func moves(s *simulation, session seamtest.Session) string {
	session.ExpiresAt = s.truth.Now().Add(s.lifetime())
	s.seam.put(session)
	return fmt.Sprintf("moves the end of %s to %s", session.ID, session.ExpiresAt.Format(time.RFC3339Nano))
}

// fail begins a fault: for all, for a credential, or for a session.
func (s *simulation) fail(session seamtest.Session) string {
	fault, value := pick(s, seamtest.Faults...), pick(s, simUsable...)
	switch n := s.rand.IntN(3); {
	case fault.Name == seamtest.Hang.Name: // which is latency here
		return slows(s, session)
	case n == 0:
		s.seam.Fail(fault)
		return fmt.Sprintf("fails with %q", fault)
	case n == 1:
		s.seam.FailCredential(value, fault)
		return fmt.Sprintf("fails for %s with %q", value, fault)
	}
	s.seam.FailSession(session.ID, fault)
	return fmt.Sprintf("fails for %s with %q", session.ID, fault)
}

func (s *simulation) addSeamSession() string {
	session := seamtest.Session{
		ID: fmt.Sprintf("cst%d", len(s.seam.ids)+1), Token: s.newToken(), CreatedAt: s.truth.Now(),
		WorkspaceID:       pick(s, seamtest.Workspace1, seamtest.Workspace1, seamtest.Workspace2),
		UserIdentifierKey: pick(s, append([]string{""}, simKeys...)...),
	}
	if !s.chance(10) {
		session.ExpiresAt = s.truth.Now().Add(s.lifetime())
	}
	s.seam.put(session)
	return fmt.Sprintf("adds %s of %s for %q with %s until %s", session.ID, session.WorkspaceID, session.UserIdentifierKey,
		session.Token, session.ExpiresAt.Format(time.RFC3339Nano))
}

// simTokenPrefix is what all tokens begin with.
const simTokenPrefix = "seam_cst_hush_"

func (s *simulation) newToken() string {
	return fmt.Sprintf("%s%d_", simTokenPrefix, len(s.seam.tokens))
}

// lifetime is how long a session lives from now on: not at all, some seconds, hours, or months; with milliseconds.
func (s *simulation) lifetime() time.Duration {
	longest := pick(s, time.Minute, time.Hour, 24*time.Hour, 24*time.Hour, 100*24*time.Hour)
	if s.chance(10) {
		return -longest
	}
	return time.Duration(s.rand.Int64N(int64(longest/time.Millisecond))) * time.Millisecond
}

// must stops the simulation where it is wrong itself.
func (s *simulation) must(err error) {
	if err != nil {
		s.violate(0, "the simulation itself fails: %v", err)
	}
}
