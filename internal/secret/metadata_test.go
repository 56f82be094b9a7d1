package secret

import (
	"maps"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

// written is the Secret of a session as the API server holds it, with what others have put on it.
func written(t *testing.T, session *v1alpha1.SeamClientSession) *corev1.Secret {
	secret := mustRender(t, session)
	secret.ResourceVersion, secret.UID = "42", "22222222-2222-2222-2222-222222222222"
	secret.Labels["argocd.argoproj.io/instance"] = "shop"
	secret.Annotations["example.org/theirs"] = "kept"
	secret.OwnerReferences = append(secret.OwnerReferences, foreignOwner(false))
	return secret
}

func foreignOwner(isController bool) metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web", UID: "33333333-3333-3333-3333-333333333333", Controller: &isController}
}

// digested is what a cache holds of a Secret.
func digested(t *testing.T, secret *corev1.Secret) *corev1.Secret {
	t.Helper()
	digest, err := Digest(secret)
	if err != nil {
		t.Fatal(err)
	}
	return digest.(*corev1.Secret)
}

// damages are edits that others can make, and what they do to the state of the Secret.
var damages = []struct {
	does           string
	edit           func(*corev1.Secret)
	ours, dataGood bool
}{
	{"edits a value", func(s *corev1.Secret) { s.Data["token"] = []byte("x") }, true, false},
	{"adds a key", func(s *corev1.Secret) { s.Data["more"] = nil }, true, false},
	{"removes a key", func(s *corev1.Secret) { delete(s.Data, "token") }, true, false},
	{"empties it", func(s *corev1.Secret) { s.Data = nil }, true, false},
	{"renames a key", func(s *corev1.Secret) { s.Data["Token"] = s.Data["token"]; delete(s.Data, "token") }, true, false},
	{"extends the end", func(s *corev1.Secret) { s.Annotations[v1alpha1.AnnotationExpiresAt] = "2099-01-01T00:00:00Z" }, true, false},
	{"removes the end", func(s *corev1.Secret) { delete(s.Annotations, v1alpha1.AnnotationExpiresAt) }, true, false},
	{"names another session of Seam", func(s *corev1.Secret) { s.Annotations[v1alpha1.AnnotationClientSessionID] = "cst2" }, true, false},
	{"edits the content hash", func(s *corev1.Secret) { s.Annotations[v1alpha1.AnnotationContentHash] = "x" }, true, false},
	{"strips the content hash", func(s *corev1.Secret) { delete(s.Annotations, v1alpha1.AnnotationContentHash) }, true, false},
	{"strips the session", func(s *corev1.Secret) { delete(s.Annotations, v1alpha1.AnnotationSession) }, true, true},
	{"names another SeamClientSession", func(s *corev1.Secret) { s.Annotations[v1alpha1.AnnotationSession] = "john" }, true, true},
	{"strips all annotations", func(s *corev1.Secret) { s.Annotations = nil }, true, false},
	{"strips all annotations and the owner", func(s *corev1.Secret) { s.Annotations, s.OwnerReferences = nil, nil }, false, false},
	{"strips all labels", func(s *corev1.Secret) { s.Labels = nil }, true, true},
	{"strips the operator's label", func(s *corev1.Secret) { delete(s.Labels, v1alpha1.LabelManagedBy) }, true, true},
	{"edits the operator's label", func(s *corev1.Secret) { s.Labels[v1alpha1.LabelManagedBy] = "me" }, true, true},
	{"strips a label of the spec", func(s *corev1.Secret) { delete(s.Labels, "team") }, true, true},
	{"strips a label of the spec that has no value", func(s *corev1.Secret) { delete(s.Labels, "example.com/tier") }, true, true},
	{"edits a label of the spec", func(s *corev1.Secret) { s.Labels["team"] = "red" }, true, true},
	{"edits an annotation of the spec", func(s *corev1.Secret) { s.Annotations["example.com/note"] = "x" }, true, true},
	{"edits the record of the spec's keys", func(s *corev1.Secret) { s.Annotations[annotationSpecKeys] = "label:x" }, true, true},
	{"edits the spec hash", func(s *corev1.Secret) { s.Annotations[v1alpha1.AnnotationSpecHash] = "x" }, true, true},
	{"strips the owner", func(s *corev1.Secret) { s.OwnerReferences = nil }, true, true},
	{"makes the owner no controller", func(s *corev1.Secret) { s.OwnerReferences[0].Controller = nil }, true, true},
	{"makes the owner block", func(s *corev1.Secret) { s.OwnerReferences[0].BlockOwnerDeletion = s.OwnerReferences[0].Controller }, true, true},
	{"names the owner of an earlier life", func(s *corev1.Secret) { s.OwnerReferences[0].UID = "99999999-9999-9999-9999-999999999999" }, true, true},
	{"names the owner twice", func(s *corev1.Secret) { s.OwnerReferences = append(s.OwnerReferences, s.OwnerReferences[0]) }, true, true},
	{"takes control", func(s *corev1.Secret) { s.OwnerReferences = []metav1.OwnerReference{foreignOwner(true)} }, false, true},
	{"makes it immutable", func(s *corev1.Secret) { s.Immutable = new(bool); *s.Immutable = true }, true, true},
	{"replaces it by one of another type", func(s *corev1.Secret) { s.Type = "example.com/other" }, true, true},
}

func TestEveryEditIsSeen(t *testing.T) {
	session := newSession(withMetadata)
	desired := mustRender(t, session)
	for _, damage := range damages {
		t.Run(damage.does, func(t *testing.T) {
			secret := written(t, session)
			damage.edit(secret)
			for form, current := range map[string]*corev1.Secret{"full": secret, "digest": digested(t, secret)} {
				state := Inspect(current, session)
				if state.Intact {
					t.Errorf("%s: is intact", form)
				}
				if state.Ours != damage.ours {
					t.Errorf("%s: ours is %v", form, state.Ours)
				}
				if state.DataIntact != damage.dataGood {
					t.Errorf("%s: intact data is %v", form, state.DataIntact)
				}
				if Matches(current, desired, session) {
					t.Errorf("%s: nothing is to be written", form)
				}
			}
		})
	}
}

func TestEveryEditIsPutRight(t *testing.T) {
	session := newSession(withMetadata)
	desired := mustRender(t, session)
	for _, damage := range damages {
		t.Run(damage.does, func(t *testing.T) {
			current := written(t, session)
			damage.edit(current)
			if state := Inspect(current, session); !state.Ours || state.Immutable || state.TypeDiffers {
				t.Skip("is refused, not put right")
			}
			merged := Merge(digested(t, current), desired)
			if state := Inspect(merged, session); !state.Ours || !state.Intact || !state.DataIntact || !state.ForSpec {
				t.Errorf("%+v", state)
			}
			if !Matches(merged, desired, session) {
				t.Error("is written again and again")
			}
			if !maps.Equal(asText(merged.Data), asText(desired.Data)) {
				t.Errorf("data %v", merged.Data)
			}
		})
	}
}

func TestWhatOthersPutOnItIsNoDamage(t *testing.T) {
	session := newSession(withMetadata)
	desired := mustRender(t, session)
	current := written(t, session)
	current.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}
	current.Finalizers = []string{"example.org/hold"}
	for form, current := range map[string]*corev1.Secret{"full": current, "digest": digested(t, current)} {
		if state := Inspect(current, session); !state.Ours || !state.Intact || !state.DataIntact || !state.ForSpec {
			t.Errorf("%s: %+v", form, state)
		}
		if !Matches(current, desired, session) {
			t.Errorf("%s: is written again", form)
		}
		merged := Merge(current, desired)
		if merged.Labels["argocd.argoproj.io/instance"] != "shop" || merged.Annotations["example.org/theirs"] != "kept" ||
			!slices.ContainsFunc(merged.OwnerReferences, func(ref metav1.OwnerReference) bool { return ref.Name == "web" }) || len(merged.Finalizers) != 1 {
			t.Errorf("%s: what others put on it is lost: %v", form, merged.ObjectMeta)
		}
		if merged.ResourceVersion != "42" || merged.UID != current.UID || merged.Name != current.Name {
			t.Errorf("%s: would be written over another than was read: %v", form, merged.ObjectMeta)
		}
	}
}

// TestSpecChanges: what an earlier spec asked for goes, what others put there stays, and the token in it is still
// believed.
func TestSpecChanges(t *testing.T) {
	before := newSession(withMetadata)
	after := newSession(func(s *v1alpha1.SeamClientSession) {
		s.Spec.Secret.Labels = map[string]v1alpha1.LabelValue{"team": "red"}
		s.Spec.Secret.Template = map[string]v1alpha1.Template{"only": "{{ .token }}"}
	})
	current := written(t, before)
	if state := Inspect(current, after); !state.Ours || !state.Intact || !state.DataIntact || state.ForSpec {
		t.Errorf("before it is written: %+v", state)
	}
	merged := Merge(current, mustRender(t, after))
	if state := Inspect(merged, after); !state.Intact || !state.ForSpec {
		t.Errorf("after: %+v", state)
	}
	want := map[string]string{"team": "red", "argocd.argoproj.io/instance": "shop", v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}
	if !maps.Equal(merged.Labels, want) {
		t.Errorf("labels %v, want %v", merged.Labels, want)
	}
	if _, ok := merged.Annotations["example.com/note"]; ok || merged.Annotations["example.org/theirs"] != "kept" {
		t.Errorf("annotations %v", merged.Annotations)
	}
	if keys := slices.Collect(maps.Keys(merged.Data)); !slices.Equal(keys, []string{"only"}) {
		t.Errorf("keys %v: a key that was dropped from the template must go", keys)
	}
}

func TestAnEndThatIsNoMoreLeavesTheAnnotations(t *testing.T) {
	session := newSession()
	endless, err := Render(session, sparseAnswer())
	if err != nil {
		t.Fatal(err)
	}
	current := written(t, session)
	if Matches(current, endless, session) {
		t.Error("nothing is to be written")
	}
	if end, ok := Merge(current, endless).Annotations[v1alpha1.AnnotationExpiresAt]; ok {
		t.Errorf("still ends at %s", end)
	}
}

func TestRetentionMovesTheOwner(t *testing.T) {
	for name, sessions := range map[string][2]*v1alpha1.SeamClientSession{
		"Delete to Retain": {newSession(), newSession(retained)},
		"Retain to Delete": {newSession(retained), newSession()},
	} {
		t.Run(name, func(t *testing.T) {
			before, after := sessions[0], sessions[1]
			current, desired := written(t, before), mustRender(t, after)
			if Matches(current, desired, after) || Inspect(current, after).ForSpec {
				t.Error("nothing is to be written")
			}
			merged := Merge(current, desired)
			if got, want := len(merged.OwnerReferences), 1+len(desired.OwnerReferences); got != want {
				t.Errorf("%d owner references, want %d", got, want)
			}
			if state := Inspect(merged, after); !state.Intact || !state.ForSpec {
				t.Errorf("%+v", state)
			}
		})
	}
}

func TestSecretOfAnEarlierLifeIsTakenUpAgain(t *testing.T) {
	reborn := newSession(func(s *v1alpha1.SeamClientSession) { s.UID = "44444444-4444-4444-4444-444444444444" })
	state := Inspect(written(t, newSession(retained)), reborn)
	if !state.Ours || !state.DataIntact || state.ForSpec {
		t.Errorf("retained: %+v", state)
	}
	state = Inspect(written(t, newSession()), reborn)
	if !state.Ours || !state.DataIntact || state.Intact || !state.ForSpec {
		t.Errorf("not collected yet, or restored: %+v", state)
	}
	merged := Merge(written(t, newSession()), mustRender(t, reborn))
	if i := slices.IndexFunc(merged.OwnerReferences, func(ref metav1.OwnerReference) bool { return ref.Kind == kind }); len(merged.OwnerReferences) != 2 ||
		merged.OwnerReferences[i].UID != reborn.UID {
		t.Errorf("owner references %v", merged.OwnerReferences)
	}
}

func TestInspectReadsWhatTheSecretSays(t *testing.T) {
	if state := Inspect(nil, newSession()); state != (State{}) {
		t.Errorf("of no Secret: %+v", state)
	}
	state := Inspect(written(t, newSession()), newSession())
	if !state.Exists || state.Session != "jane" || state.ClientSessionID != "cst1" || state.ExpiresAt == nil ||
		!state.ExpiresAt.Equal(time.Date(2026, 8, 31, 12, 0, 0, 0, time.UTC)) || state.Controller != "" {
		t.Errorf("%+v", state)
	}
	state = Inspect(&corev1.Secret{Type: "Opaque"}, newSession())
	if !state.Exists || state.Ours || state.Intact || state.DataIntact || state.ForSpec || state.Adoptable || state.ExpiresAt != nil {
		t.Errorf("of somebody else's: %+v", state)
	}
}

func TestOnlyConsentMakesASecretAdoptable(t *testing.T) {
	tests := []struct {
		situation string
		edit      func(*corev1.Secret)
		want      bool
	}{
		{"consent", func(*corev1.Secret) {}, true},
		{"no consent", func(s *corev1.Secret) { s.Annotations = nil }, false},
		{"consent to another", func(s *corev1.Secret) { s.Annotations[v1alpha1.AnnotationAdoptBy] = "john" }, false},
		{"another type", func(s *corev1.Secret) { s.Type = "kubernetes.io/tls" }, false},
		{"immutable", func(s *corev1.Secret) { s.Immutable = new(bool); *s.Immutable = true }, false},
		{"controlled", func(s *corev1.Secret) { s.OwnerReferences = []metav1.OwnerReference{foreignOwner(true)} }, false},
		{"owned, not controlled", func(s *corev1.Secret) { s.OwnerReferences = []metav1.OwnerReference{foreignOwner(false)} }, true},
	}
	for _, test := range tests {
		t.Run(test.situation, func(t *testing.T) {
			secret := &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Name: "jane", Namespace: "shop", Annotations: map[string]string{v1alpha1.AnnotationAdoptBy: "jane"}},
				Type:       corev1.SecretTypeOpaque,
				Data:       map[string][]byte{"theirs": []byte("x")},
			}
			test.edit(secret)
			if got := Inspect(secret, newSession()).Adoptable; got != test.want {
				t.Fatalf("got %v", got)
			}
			if !test.want {
				return
			}
			merged := Merge(secret, mustRender(t, newSession()))
			if state := Inspect(merged, newSession()); !state.Ours || !state.Intact || merged.Data["theirs"] != nil {
				t.Errorf("adopted: %+v, data %v", state, merged.Data)
			}
		})
	}
}

func TestControllerIsNamed(t *testing.T) {
	current := written(t, newSession(retained))
	current.OwnerReferences = []metav1.OwnerReference{foreignOwner(true)}
	if state := Inspect(current, newSession()); state.Controller != "Deployment web" || state.Ours {
		t.Errorf("%+v", state)
	}
	current.OwnerReferences[0] = mustRender(t, newSession()).OwnerReferences[0]
	current.OwnerReferences[0].APIVersion, current.OwnerReferences[0].UID = "example.com/v1alpha1", "of another kind of that name"
	if state := Inspect(current, newSession()); state.Controller != "SeamClientSession jane" || state.Ours {
		t.Errorf("%+v", state)
	}
	another := newSession(func(s *v1alpha1.SeamClientSession) { s.Name, s.UID = "john", "another" })
	if state := Inspect(written(t, another), newSession()); state.Controller != "SeamClientSession john" || state.Ours || state.Session != "john" {
		t.Errorf("%+v", state)
	}
}

func TestDigestHoldsNoData(t *testing.T) {
	secret := written(t, newSession())
	secret.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "x"}}
	secret.Annotations[corev1.LastAppliedConfigAnnotation] = `{"data":{"token":"c2VhbV9jc3Q="}}`
	before := secret.DeepCopy()
	digest := digested(t, secret)
	if len(digest.Data) != 0 || len(digest.Annotations[annotationDigest]) != 32 || digest.ManagedFields != nil || digest.Annotations[corev1.LastAppliedConfigAnnotation] != "" {
		t.Errorf("%v", digest)
	}
	if ContentHash(digest) != ContentHash(secret) {
		t.Error("the digest has another content hash")
	}
	if again := digested(t, digest); !maps.Equal(again.Annotations, digest.Annotations) {
		t.Error("a digest of the digest differs")
	}
	if !maps.Equal(asText(secret.Data), asText(before.Data)) || !maps.Equal(secret.Annotations, before.Annotations) || secret.ManagedFields == nil {
		t.Error("the Secret itself was changed")
	}
	merged := Merge(secret, mustRender(t, newSession()))
	if _, ok := merged.Annotations[corev1.LastAppliedConfigAnnotation]; ok {
		t.Error("a copy of former data stays on the Secret")
	}
	if !Matches(secret, mustRender(t, newSession()), newSession()) {
		t.Error("a copy of former data alone is no reason to write")
	}
}

func TestDigestPassesEverythingElse(t *testing.T) {
	for _, obj := range []any{
		nil, "text", &corev1.ConfigMap{}, newSession(), cache.DeletedFinalStateUnknown{Key: "shop/jane", Obj: &corev1.Secret{}},
	} {
		if got, err := Digest(obj); err != nil || got != obj {
			t.Errorf("%T becomes %v, %v", obj, got, err)
		}
	}
}

func TestDigestOfDataIsUnambiguous(t *testing.T) {
	seen := map[string]int{}
	for i, data := range []map[string][]byte{
		nil, {"": nil}, {"a": nil}, {"a": []byte("b")}, {"ab": nil}, {"a": nil, "b": nil}, {"a": []byte("b"), "c": []byte("d")}, {"a": []byte("bc"), "d": nil},
		{"a": []byte{0}}, {"a": []byte{0, 0}},
	} {
		digest := dataDigest(&corev1.Secret{Data: data})
		if other, ok := seen[digest]; ok {
			t.Errorf("data %d and %d have one digest", i, other)
		}
		seen[digest] = i
	}
}

// TestSpecHashIsStable: a release that changes one of these has every Secret of every user written anew. What an earlier
// release wrote is a hash without a key, and is accepted.
func TestSpecHashIsStable(t *testing.T) {
	everything := newSession(withMetadata, func(s *v1alpha1.SeamClientSession) {
		s.Spec.ClientSessionID, s.Spec.WorkspaceID = "", "ws1"
		s.Spec.UserIdentifierKeySecretRef = &v1alpha1.SecretKeyReference{Name: "jane-key", Key: "key"}
		s.Spec.Secret.Name, s.Spec.Secret.Type = "jane-seam", "example.com/seam"
		s.Spec.Secret.Template = map[string]v1alpha1.Template{"a": "{{ .token }}", "b": "x"}
	})
	for _, want := range []struct {
		session       *v1alpha1.SeamClientSession
		hash, earlier string
	}{
		{newSession(), "55e9fa77ace95de57808e97be733bd2a", "b51354cee3ed0cd4953676f62c9269a6"},
		{everything, "4ce6ad5998f2cbf505ed2e311cc887bf", "d8d5a4387a1f4d0eeb9f8eb76c914b04"},
	} {
		if got := SpecHash(want.session, filled); got != want.hash {
			t.Errorf("got %s, want %s", got, want.hash)
		}
		if got := unkeyedSpecHash(want.session); got != want.earlier {
			t.Errorf("an earlier release's: got %s, want %s", got, want.earlier)
		}
	}
}

// filled is a Secret with data, which the hash of a spec is keyed with.
var filled = &corev1.Secret{Data: map[string][]byte{"token": []byte("seam_cst1")}}

// TestNoGuessAtAUserKeyCanBeTested: whoever reads the annotations and not the data must not find out whose token it is.
func TestNoGuessAtAUserKeyCanBeTested(t *testing.T) {
	jane := newSession(func(s *v1alpha1.SeamClientSession) { s.Spec.ClientSessionID, s.Spec.UserIdentifierKey = "", "jane" })
	if SpecHash(jane, filled) == SpecHash(jane, &corev1.Secret{Data: map[string][]byte{"token": []byte("seam_cst2")}}) {
		t.Error("the hash of a spec does not depend on the token")
	}
	if SpecHash(jane, filled) == unkeyedSpecHash(jane) {
		t.Error("the hash of a spec is not keyed")
	}
}

// TestWhatAnEarlierReleaseWroteIsLeftAlone: an upgrade writes no Secret.
func TestWhatAnEarlierReleaseWroteIsLeftAlone(t *testing.T) {
	session := newSession(withMetadata)
	current := written(t, session)
	current.Annotations[v1alpha1.AnnotationSpecHash] = unkeyedSpecHash(session)
	current.Annotations[v1alpha1.AnnotationContentHash] = ContentHash(current)
	for form, current := range map[string]*corev1.Secret{"full": current, "digest": digested(t, current)} {
		if state := Inspect(current, session); !state.Intact || !state.ForSpec {
			t.Errorf("%s: %+v", form, state)
		}
		if !Matches(current, mustRender(t, session), session) {
			t.Errorf("%s: is written", form)
		}
		other := newSession(withMetadata, func(s *v1alpha1.SeamClientSession) { s.Spec.ClientSessionID = "cst2" })
		if Inspect(current, other).ForSpec {
			t.Errorf("%s: is for another spec", form)
		}
	}
}

func TestContentHashIsStable(t *testing.T) {
	if got, want := mustRender(t, newSession(withMetadata)).Annotations[v1alpha1.AnnotationContentHash], "dc31629632bb5dc7bf925ace50455ea2.1b0c19dc298b2e555f5112d9e63415d3"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSpecHashFollowsWhatIsAskedAndWritten(t *testing.T) {
	spec := func(change func(*v1alpha1.SeamClientSessionSpec)) *v1alpha1.SeamClientSession {
		return newSession(func(s *v1alpha1.SeamClientSession) { change(&s.Spec) })
	}
	different := []*v1alpha1.SeamClientSession{
		newSession(),
		spec(func(s *v1alpha1.SeamClientSessionSpec) { s.ClientSessionID = "cst2" }),
		spec(func(s *v1alpha1.SeamClientSessionSpec) { s.ClientSessionID, s.UserIdentifierKey = "", "cst1" }),
		spec(func(s *v1alpha1.SeamClientSessionSpec) {
			s.ClientSessionID, s.UserIdentifierKeySecretRef = "", &v1alpha1.SecretKeyReference{Name: "a", Key: "b"}
		}),
		spec(func(s *v1alpha1.SeamClientSessionSpec) {
			s.ClientSessionID, s.UserIdentifierKeySecretRef = "", &v1alpha1.SecretKeyReference{Name: "a", Key: "c"}
		}),
		spec(func(s *v1alpha1.SeamClientSessionSpec) { s.WorkspaceID = "ws2" }),
		spec(func(s *v1alpha1.SeamClientSessionSpec) { s.CredentialSecretRef.Name = "other" }),
		spec(func(s *v1alpha1.SeamClientSessionSpec) { s.CredentialSecretRef.Key = "other" }),
		spec(func(s *v1alpha1.SeamClientSessionSpec) { s.Secret.Name = "other" }),
		spec(func(s *v1alpha1.SeamClientSessionSpec) { s.Secret.Type = "example.com/other" }),
		spec(func(s *v1alpha1.SeamClientSessionSpec) { s.Secret.Labels = map[string]v1alpha1.LabelValue{"a": "b"} }),
		spec(func(s *v1alpha1.SeamClientSessionSpec) { s.Secret.Labels = map[string]v1alpha1.LabelValue{"a": "c"} }),
		spec(func(s *v1alpha1.SeamClientSessionSpec) {
			s.Secret.Annotations = map[string]v1alpha1.AnnotationValue{"a": "b"}
		}),
		spec(func(s *v1alpha1.SeamClientSessionSpec) { s.Secret.Template = map[string]v1alpha1.Template{"a": "b"} }),
		spec(func(s *v1alpha1.SeamClientSessionSpec) { s.Secret.RetentionPolicy.WhenDeleted = "Retain" }),
	}
	seen := map[string]int{}
	for i, session := range different {
		if other, ok := seen[SpecHash(session, filled)]; ok {
			t.Errorf("specs %d and %d have one hash", i, other)
		}
		seen[SpecHash(session, filled)] = i
	}
	for i, session := range []*v1alpha1.SeamClientSession{
		spec(func(s *v1alpha1.SeamClientSessionSpec) { s.RefreshInterval = &metav1.Duration{Duration: time.Minute} }),
		spec(func(s *v1alpha1.SeamClientSessionSpec) { s.RenewBefore = &metav1.Duration{Duration: time.Minute} }),
		spec(func(s *v1alpha1.SeamClientSessionSpec) { s.Suspend = true }),
		spec(func(s *v1alpha1.SeamClientSessionSpec) { s.Secret.RetentionPolicy.WhenSessionEnds = "Delete" }),
		spec(func(s *v1alpha1.SeamClientSessionSpec) { s.Secret.Name = "jane" }),
		spec(func(s *v1alpha1.SeamClientSessionSpec) {
			s.Secret.Type, s.Secret.RetentionPolicy.WhenDeleted, s.CredentialSecretRef.Key = "", "", ""
		}),
		newSession(func(s *v1alpha1.SeamClientSession) { s.UID = "another" }),
	} {
		if SpecHash(session, filled) != SpecHash(newSession(), filled) {
			t.Errorf("%d: changes the hash", i)
		}
	}
}
